"""What can be wrong with a table's log, seen from the names and sizes of its files.

Delta does without a checkpoint that is missing, but fails at one that was cut short; and it reads a commit without
content as one that changed nothing, so the rows of that commit would be missing in silence.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from pyspark.sql import SparkSession

from spark_app.spark.java import hadoop_path, java_class

logger = logging.getLogger(__name__)

_MAGIC = b"PAR1"
"""The first and the last bytes of every Parquet file."""
_SHORTEST = 12
_ASIDE = "_damaged-"
_CHECKPOINTS, _COMMITS = "[0-9]*.checkpoint*.parquet", "[0-9]" * 20 + ".json"
_POINTER_CHECKSUM = "._last_checkpoint.crc"
_PAUSE_SECONDS = 0.2


def set_cut_checkpoints_aside(spark: SparkSession, table: str) -> None:
    """Rename the newest checkpoints of the table at this path or URL, as far as they were cut short."""
    system, log = hadoop_path(spark, f"{table}/_delta_log")
    if not system.exists(log):
        return
    names = [file.getPath().getName() for file in system.globStatus(log.suffix(f"/{_CHECKPOINTS}"))]
    for name in sorted(names, reverse=True):
        checkpoint = log.suffix(f"/{name}")
        if _is_whole(spark, system, checkpoint):
            return
        logger.warning("staging: the checkpoint %s was cut short: doing without it", checkpoint)
        system.rename(checkpoint, log.suffix(f"/{_ASIDE}{name}"))


def remove_pointer_checksum(spark: SparkSession, table: str) -> None:
    """Remove what Hadoop wrote, up to version 0.4.0, beside the pointer to the newest checkpoint of a local table.

    The pointer is replaced by each checkpoint. Sessions other than ours would compare it with the old checksum, and
    list the whole log instead.
    """
    system, log = hadoop_path(spark, f"{table}/_delta_log")
    if system.getUri().getScheme() == "file":
        system.delete(log.suffix(f"/{_POINTER_CHECKSUM}"), False)


def damaged_commit(spark: SparkSession, table: str) -> str | None:
    """Name the newest commit that is lost or empty, of those since the newest checkpoint; None if all are there."""
    found = _damaged_commit(spark, table)
    if found is None:
        return None
    # Another writer may have committed while the folder was listed.
    time.sleep(_PAUSE_SECONDS)
    return _damaged_commit(spark, table)


def _damaged_commit(spark: SparkSession, table: str) -> str | None:
    system, log = hadoop_path(spark, f"{table}/_delta_log")
    if not system.exists(log):
        return None
    # Both in the order of their versions. After months there are hundreds: only the newest are looked at.
    checkpoints, commits = (system.globStatus(log.suffix(f"/{names}")) for names in (_CHECKPOINTS, _COMMITS))
    if not len(commits):
        return None
    expected = _version_of(commits[len(commits) - 1])
    first = _version_of(checkpoints[len(checkpoints) - 1]) + 1 if len(checkpoints) else 0
    for number in reversed(range(len(commits))):
        if expected < first:
            return None
        if _version_of(commits[number]) != expected:
            break
        if commits[number].getLen() == 0:
            return f"{table}/_delta_log/{expected:020d}.json is empty"
        expected -= 1
    return f"{table}/_delta_log/{expected:020d}.json is missing" if expected >= first else None


def _version_of(file: Any) -> int:
    return int(file.getPath().getName().partition(".")[0])


def _is_whole(spark: SparkSession, system: Any, file: Any) -> bool:
    length = system.getFileStatus(file).getLen()
    if length < _SHORTEST:
        return False
    stream = system.open(file)
    try:
        stream.seek(length - len(_MAGIC))
        streams = java_class(spark, "org.apache.commons.io.IOUtils")
        return bytes(streams.toByteArray(stream, len(_MAGIC))) == _MAGIC
    finally:
        stream.close()
