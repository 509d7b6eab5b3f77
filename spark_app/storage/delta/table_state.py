"""The files and properties of a Delta table, read from its newest checksum file without a Spark query.

A Delta scan finds its files by several Spark queries over the table's log; in a small run these take longer than
reading the rows. With each version of a table that has not too many files, Delta also writes a checksum file that
lists them all ("Version Checksum File" in Delta's protocol). Without one the caller has to use Delta's own scan; one
that cannot be right is removed, as Delta does without it, too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from spark_app.spark.java import hadoop_path, java_class

logger = logging.getLogger(__name__)

_CHECKSUMS = "[0-9]" * 20 + ".crc"
_LOOKS, _PAUSE_SECONDS = 5, 0.05
_PIECE = 4000
"""Characters of one answer of Py4J. It sends one of more than 8,192, with escapes, in two parts, and the network's
protocol holds the second back for 40 ms."""


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of `size` bytes; `lowest` and `highest` bound its columns, where Delta has recorded them."""

    path: str
    size: int
    lowest: Mapping[str, Any]
    highest: Mapping[str, Any]

    def may_contain(self, column: str, value: str) -> bool:
        """Say whether the file may contain a row with this text in this column."""
        is_below = column in self.lowest and value < self.lowest[column]
        is_above = column in self.highest and value > self.highest[column]
        return not is_below and not is_above


@dataclass(frozen=True)
class DeltaState:
    """The newest version of a table: its number, files and properties."""

    version: int
    files: tuple[DataFile, ...]
    properties: Mapping[str, str]


def read_delta_state(spark: SparkSession, table: str) -> DeltaState | None:
    """Read the state of the table at this path or URL; None if only Delta's own scan can."""
    # Spark and Hadoop would read such a path as a glob pattern.
    if any(character in table for character in "*?[]{}\\"):
        return None
    system, log = hadoop_path(spark, f"{table}/_delta_log")
    newest = _newest_checksum(system, log)
    if newest is None:
        return None
    text = _read_text(spark, system, newest)
    try:
        return _parse(text, table, _version_of(newest))
    except (ValueError, TypeError, LookupError, AttributeError):
        _remove(system, newest, "is damaged")
        return None


def _newest_checksum(system: Any, log: Any) -> Any:
    """Return the checksum file of the newest version, None if it has none."""
    for _ in range(_LOOKS):
        checksums = system.globStatus(log.suffix(f"/{_CHECKSUMS}"))
        if not checksums:
            return None
        newest = checksums[len(checksums) - 1].getPath()
        version = _version_of(newest)
        own, following = (log.suffix(f"/{number:020d}.json") for number in (version, version + 1))
        if not system.exists(own):
            _remove(system, newest, "is of no version of the table")
            continue
        if not system.exists(following):
            return newest
        # Another writer has just committed; its checksum file follows.
        time.sleep(_PAUSE_SECONDS)
    return None


def _read_text(spark: SparkSession, system: Any, file: Any) -> str:
    text = java_class(spark, "java.io.StringWriter")()
    stream = system.open(file)
    try:
        java_class(spark, "org.apache.commons.io.IOUtils").copy(stream, text, "UTF-8")
    finally:
        stream.close()
    buffer = text.getBuffer()
    length = buffer.length()
    return "".join(buffer.substring(start, min(start + _PIECE, length)) for start in range(0, length, _PIECE))


def _remove(system: Any, checksum: Any, reason: str) -> None:
    logger.warning("staging: %s %s: doing without it", checksum, reason)
    with contextlib.suppress(Py4JJavaError):
        system.delete(checksum, False)


def _version_of(checksum: Any) -> int:
    return int(checksum.getName().removesuffix(".crc"))


def _parse(text: str, table: str, version: int) -> DeltaState | None:
    checksum = json.loads(text)
    files, protocol, metadata = checksum.get("allFiles"), checksum.get("protocol"), checksum.get("metadata")
    if files is None or len(files) != checksum["numFiles"] or not protocol or not metadata:
        return None
    # Reader version 1 needs the files only; later versions may have deleted rows or renamed columns.
    if protocol["minReaderVersion"] != 1 or metadata.get("partitionColumns"):
        return None
    return DeltaState(version, tuple(_data_file(file, table) for file in files), metadata.get("configuration") or {})


def _data_file(file: Mapping[str, Any], table: str) -> DataFile:
    stats = json.loads(file.get("stats") or "{}")
    path = unquote(file["path"])
    is_absolute = ":" in path.split("/")[0] or path.startswith("/")
    return DataFile(
        path if is_absolute else f"{table}/{path}",
        int(file["size"]),
        stats.get("minValues") or {},
        stats.get("maxValues") or {},
    )
