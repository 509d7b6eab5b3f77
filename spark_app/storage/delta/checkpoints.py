"""Checkpoints of a table's log. Delta does without one that is missing, but fails at one that was cut short."""

from __future__ import annotations

import logging
from typing import Any

from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

_MAGIC = b"PAR1"
"""The first and the last bytes of every Parquet file."""
_SHORTEST = 12
_ASIDE = "_damaged-"


def set_cut_checkpoints_aside(spark: SparkSession, table: str) -> None:
    """Rename the newest checkpoints of the table at this path or URL, as far as they were cut short."""
    jvm: Any = spark.sparkContext._jvm
    log = jvm.org.apache.hadoop.fs.Path(f"{table}/_delta_log")
    system = log.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())
    if not system.exists(log):
        return
    names = [file.getPath().getName() for file in system.globStatus(log.suffix("/[0-9]*.checkpoint*.parquet"))]
    for name in sorted(names, reverse=True):
        checkpoint = log.suffix(f"/{name}")
        if _is_whole(jvm, system, checkpoint):
            return
        logger.warning("staging: the checkpoint %s was cut short: doing without it", checkpoint)
        system.rename(checkpoint, log.suffix(f"/{_ASIDE}{name}"))


def _is_whole(jvm: Any, system: Any, file: Any) -> bool:
    length = system.getFileStatus(file).getLen()
    if length < _SHORTEST:
        return False
    stream = system.open(file)
    try:
        stream.seek(length - len(_MAGIC))
        return bytes(jvm.org.apache.commons.io.IOUtils.toByteArray(stream, len(_MAGIC))) == _MAGIC
    finally:
        stream.close()
