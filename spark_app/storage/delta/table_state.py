"""What a Delta table consists of, read from its newest checksum file instead of asked of Spark.

A Delta scan finds its files by Spark queries over the table's log, several for each table in each query; in a
small run they cost more than the rows do. With each version of a table that has not too many files, Delta also
writes a checksum file that names them all ("Version Checksum File" in Delta's protocol). Where there is none,
the caller has to ask Delta.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from pyspark.sql import SparkSession

_LOOKS, _PAUSE_SECONDS = 5, 0.05


@dataclass(frozen=True)
class DataFile:
    """One Parquet file; `lowest` and `highest` bound the values of its columns, where Delta noted that."""

    path: str
    lowest: Mapping[str, Any]
    highest: Mapping[str, Any]

    def may_hold(self, column: str, value: str) -> bool:
        """Say whether a row with this text in this column can be in the file."""
        is_below = column in self.lowest and value < self.lowest[column]
        is_above = column in self.highest and value > self.highest[column]
        return not is_below and not is_above


@dataclass(frozen=True)
class DeltaState:
    """The newest version of a table: its files and properties."""

    files: tuple[DataFile, ...]
    properties: Mapping[str, str]


def read_delta_state(spark: SparkSession, table: str) -> DeltaState | None:
    """Read the state of the table at this path or URL; None where only Delta can tell."""
    # Spark and Hadoop would take such a path for a pattern.
    if any(character in table for character in "*?[]{}\\"):
        return None
    jvm: Any = spark.sparkContext._jvm
    log = jvm.org.apache.hadoop.fs.Path(f"{table}/_delta_log")
    system = log.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())
    newest = _newest_checksum(jvm, system, log)
    if newest is None:
        return None
    stream = system.open(newest)
    try:
        return _parse(jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"), table)
    finally:
        stream.close()


def _newest_checksum(jvm: Any, system: Any, log: Any) -> Any:
    """The checksum file of the newest version, None where it has none."""
    for _ in range(_LOOKS):
        checksums = system.globStatus(jvm.org.apache.hadoop.fs.Path(log, "*.crc"))
        if not checksums:
            return None
        newest = checksums[len(checksums) - 1].getPath()
        following = f"{int(newest.getName().removesuffix('.crc')) + 1:020d}.json"
        if not system.exists(jvm.org.apache.hadoop.fs.Path(log, following)):
            return newest
        # Another writer's commit: its checksum comes right after it.
        time.sleep(_PAUSE_SECONDS)
    return None


def _parse(text: str, table: str) -> DeltaState | None:
    checksum = json.loads(text)
    files, protocol, metadata = checksum.get("allFiles"), checksum.get("protocol"), checksum.get("metadata")
    if files is None or len(files) != checksum["numFiles"] or not protocol or not metadata:
        return None
    # Readers of version 1 need to know nothing but the files: later versions may hide rows or rename columns.
    if protocol["minReaderVersion"] != 1 or metadata.get("partitionColumns"):
        return None
    return DeltaState(tuple(_data_file(file, table) for file in files), metadata.get("configuration") or {})


def _data_file(file: Mapping[str, Any], table: str) -> DataFile:
    stats = json.loads(file.get("stats") or "{}")
    path = unquote(file["path"])
    is_absolute = ":" in path.split("/")[0] or path.startswith("/")
    return DataFile(
        path if is_absolute else f"{table}/{path}", stats.get("minValues") or {}, stats.get("maxValues") or {}
    )
