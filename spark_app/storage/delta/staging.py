"""Delta staging: append-only tables whose rows have the time at which they were fetched.

`fetches` gets each wave's answers in one atomic append; `bars`, `holdings` and `quotes` get from it what is new or
differs, so that a repeat adds nothing.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from spark_app.errors import UsageError
from spark_app.schemas import BARS, FETCHES, HOLDINGS, INDEX_MEMBERSHIP, QUOTES
from spark_app.spark.java import hadoop_path, java_class
from spark_app.spark.java_errors import JAVA_ERRORS
from spark_app.storage.delta.checkpoints import damaged_commit, remove_pointer_checksum, set_cut_checkpoints_aside
from spark_app.storage.delta.failures import damaged, translated_staging_errors
from spark_app.storage.delta.table_state import DataFile, DeltaState, read_delta_state

FETCHES_TABLE, BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE = "fetches", "bars", "holdings", "quotes"
INDEX_MEMBERSHIP_TABLE = "index_membership"
_SCHEMAS: dict[str, StructType] = {
    FETCHES_TABLE: FETCHES,
    BARS_TABLE: BARS,
    HOLDINGS_TABLE: HOLDINGS,
    QUOTES_TABLE: QUOTES,
    INDEX_MEMBERSHIP_TABLE: INDEX_MEMBERSHIP,
}
_STATISTICS: dict[str, tuple[str, ...]] = {
    FETCHES_TABLE: ("run_id", "kind", "ticker", "fetched_at"),
    BARS_TABLE: ("ticker", "trade_date", "fetched_at", "run_id"),
    HOLDINGS_TABLE: ("etf_ticker", "snapshot_date", "fetched_at"),
    QUOTES_TABLE: ("ticker", "quote_date", "fetched_at"),
    INDEX_MEMBERSHIP_TABLE: ("ticker", "fetched_at"),
}
"""The columns that reads filter by: Delta records their bounds in each file, to skip files. By default it does so for
nearly all columns: a query of its own for each append, planned and compiled."""
_FEW_FILES = 200
"""Reading files by name is faster up to this many; with more, Delta's own scan skips enough files to be faster."""
_MINUTES = "yyyy-MM-dd HH:mm"
_ORIGIN_PROPERTY = "spark_app.origin"
_STATISTICS_PROPERTY = "delta.dataSkippingStatsColumns"
WHOLE_FROM = "spark_app.whole_from"
"""Property of `fetches`: the time (UTC) from which on everything that was known at any moment is kept."""


@dataclass(frozen=True)
class Staging:
    """The staging tables below one folder or URL; `origin` is `real`, `synthetic` or `files`.

    With `known_at` (timezone-aware) reads skip what was fetched later. `versions_read` has the version of each table
    when it was last read.
    """

    spark: SparkSession
    root: str
    origin: str
    known_at: dt.datetime | None = None
    versions_read: dict[str, int] = field(default_factory=dict, compare=False)

    def check_origin(self) -> None:
        """Check that the staging tables have the same kind of data as this run.

        Raises: UsageError: they have another kind.
        """
        known = self.property_of(FETCHES_TABLE, _ORIGIN_PROPERTY)
        # A table without the property counts as this run's kind.
        if known not in (None, self.origin):
            raise UsageError(
                f"the staging tables in {self.root} hold {known} data and the run would add {self.origin} data: "
                f"use another place (staging.path or SPARK_APP_HOME), or another --source"
            )

    def repair(self) -> None:
        """Set aside what the tables' logs can do without, and check what they cannot.

        Raises: LastingFailureError: a commit is lost. ServiceUnavailableError: the storage cannot be read or written.
        """
        for table in _SCHEMAS:
            with translated_staging_errors(f"looking for {self.path(table)}", self.root):
                set_cut_checkpoints_aside(self.spark, self.path(table))
                remove_pointer_checksum(self.spark, self.path(table))
                commit = damaged_commit(self.spark, self.path(table))
            if commit is not None:
                raise damaged(commit, self.root)

    def path(self, table: str) -> str:
        """Return the path or URL of a staging table."""
        return f"{self.root.rstrip('/')}/{table}"

    def read(self, table: str) -> DataFrame:
        """Read a staging table, no rows if it does not exist yet; columns as in `schemas`."""
        rows = self._read_all(table)
        return rows if self.known_at is None else rows.where(F.col("fetched_at") <= F.lit(self.known_at))

    def check_known_at(self) -> None:
        """Check that staging still has everything that was known at `known_at`.

        Raises: UsageError: nothing was fetched by then, or retention removed some of what was known then.
        """
        if self.known_at is None:
            return
        whole_from = self.property_of(FETCHES_TABLE, WHOLE_FROM)
        if whole_from is not None and self.known_at < dt.datetime.fromisoformat(whole_from):
            raise UsageError(
                f"--known-at {self.known_at:%Y-%m-%d %H:%M} UTC: what newer rows replaced before"
                f" {whole_from[:16].replace('T', ' ')} UTC is no longer kept"
            )
        if not self.read(FETCHES_TABLE).isEmpty():
            return
        first = self._read_all(FETCHES_TABLE).agg(F.date_format(F.min("fetched_at"), _MINUTES)).first()
        begins = (
            f"what is kept begins at {first[0]} UTC" if first is not None and first[0] else "nothing was fetched yet"
        )
        raise UsageError(f"--known-at {self.known_at:%Y-%m-%d %H:%M} UTC: nothing was known then, {begins}")

    def _read_all(self, table: str) -> DataFrame:
        state = self._state(table)
        if state is None and not self._exists(table):
            return self.spark.createDataFrame([], _SCHEMAS[table])
        if state is None or len(state.files) > _FEW_FILES:
            with translated_staging_errors(f"reading {self.path(table)}", self.root):
                rows = self.spark.read.format("delta").load(self.path(table))
            self.versions_read[table] = self._loaded_version(table)
            return rows
        self.versions_read[table] = state.version
        return self._read_files(table, state.files)

    def append(self, table: str, rows: DataFrame) -> int:
        """Append rows in one action; returns the table's version afterwards.

        Columns in: those of the table in `schemas`, in any order; others are left out.
        Raises: ServiceUnavailableError: the storage cannot be written.
        """
        with translated_staging_errors(f"writing {self.path(table)}", self.root):
            self.ensure(table)
            rows.select(*_SCHEMAS[table].fieldNames()).write.format("delta").mode("append").save(self.path(table))
        return self._loaded_version(table)

    def _loaded_version(self, table: str) -> int:
        """Return the version that Delta last read or wrote."""
        logs = java_class(self.spark, "org.apache.spark.sql.delta.DeltaLog")
        log = logs.forTable(self.spark._jsparkSession, self.path(table))
        return int(log.unsafeVolatileSnapshot().version())

    def fetches_of(self, run_ids: Sequence[str], kind: str | None = None) -> DataFrame:
        """Read what some runs fetched, of one kind or of all; columns as schemas.FETCHES."""
        state = self._state(FETCHES_TABLE)
        if state is None:
            fetches = self.read(FETCHES_TABLE)
        else:
            files = [f for f in state.files if any(f.may_contain("run_id", run_id) for run_id in run_ids)]
            fetches = self._read_files(FETCHES_TABLE, files)
        fetched = fetches.where(F.col("run_id").isin(list(run_ids)))
        return fetched if kind is None else fetched.where(F.col("kind") == kind)

    def ensure(self, table: str) -> None:
        """Create a staging table if it does not exist.

        Raises: ServiceUnavailableError: the storage cannot be written.
        """
        with translated_staging_errors(f"writing {self.path(table)}", self.root):
            for is_last in (False, True):
                if self._exists(table):
                    return
                try:
                    new = DeltaTable.createIfNotExists(self.spark).location(self.path(table))
                    new = new.addColumns(_SCHEMAS[table]).property(_ORIGIN_PROPERTY, self.origin)
                    new.property(_STATISTICS_PROPERTY, ",".join(_STATISTICS[table])).execute()
                except JAVA_ERRORS:
                    # Another run may be creating it, or was killed while it did.
                    if is_last and not self._exists(table):
                        raise
                    self._clear_unfinished_log(table)

    def size(self, table: str) -> int:
        """Return the size of a staging table in bytes, with superseded files and Delta's log; 0 if there is none."""
        if not self._exists(table):
            return 0
        with translated_staging_errors(f"measuring {self.path(table)}", self.root):
            system, place = hadoop_path(self.spark, self.path(table))
            return int(system.getContentSummary(place).getLength())

    def count_files(self, table: str) -> int:
        """Return the number of files that the newest version of a staging table consists of; 0 if there is none."""
        if not self._exists(table):
            return 0
        state = self._state(table)
        if state is not None:
            return len(state.files)
        with translated_staging_errors(f"reading {self.path(table)}"):
            detail = DeltaTable.forPath(self.spark, self.path(table)).detail().select("numFiles").first()
        return int(detail[0]) if detail is not None else 0

    def _read_files(self, table: str, files: Sequence[DataFile]) -> DataFrame:
        """Read some Parquet files of a table; Spark cannot read an empty list of files.

        Raises: LastingFailureError: a file is missing or has another size; Spark would skip an empty one in silence.
        """
        if not files:
            return self.spark.createDataFrame([], _SCHEMAS[table])
        with translated_staging_errors(f"reading {self.path(table)}", self.root):
            rows = self.spark.read.schema(_SCHEMAS[table]).parquet(*[file.path for file in files])
            found: Any = rows._jdf.queryExecution().analyzed().relation().location()
            if found.sizeInBytes() != sum(file.size for file in files):
                raise damaged(f"a file of {self.path(table)} is cut or has another size", self.root)
        return rows

    def _state(self, table: str) -> DeltaState | None:
        with translated_staging_errors(f"reading {self.path(table)}", self.root):
            return read_delta_state(self.spark, self.path(table))

    def property_of(self, table: str, name: str) -> str | None:
        """Read a property of a staging table, None if it is not set or there is no such table."""
        state = self._state(table)
        if state is not None:
            return state.properties.get(name)
        if not self._exists(table):
            return None
        with translated_staging_errors(f"reading {self.path(table)}", self.root):
            rows = self.spark.sql(f"SHOW TBLPROPERTIES delta.`{self._quoted(table)}`").collect()
        return {row["key"]: row["value"] for row in rows}.get(name)

    def note_property(self, table: str, name: str, value: str) -> None:
        """Set a property of a staging table."""
        with translated_staging_errors(f"writing {self.path(table)}", self.root):
            self.spark.sql(f"ALTER TABLE delta.`{self._quoted(table)}` SET TBLPROPERTIES ('{name}' = '{value}')")

    def _quoted(self, table: str) -> str:
        return self.path(table).replace("`", "``")

    def _exists(self, table: str) -> bool:
        """Say whether a table has a commit; with a log folder but no commit it is being created."""
        with translated_staging_errors(f"looking for {self.path(table)}", self.root):
            return any(name.endswith(".json") for name in self._log_files(table))

    def _log_files(self, table: str) -> Iterable[str]:
        """Yield the names of the files of a table's log, lazily: after months there are hundreds."""
        system, log = self._log(table)
        return (file.getPath().getName() for file in system.listStatus(log)) if system.exists(log) else ()

    def _clear_unfinished_log(self, table: str) -> None:
        """Remove the log folder of a table without a commit: Delta does not create a table where one exists."""
        system, log = self._log(table)
        if self._exists(table) or not system.exists(log):
            return
        for name in self._log_files(table):
            if not name.endswith(".json"):
                system.delete(log.suffix(f"/{name}"), False)
        # Fails if a commit was added in the meantime.
        with contextlib.suppress(Py4JJavaError):
            system.delete(log, False)

    def _log(self, table: str) -> tuple[Any, Any]:
        """Return the file system and the folder of a table's log."""
        return hadoop_path(self.spark, f"{self.path(table)}/_delta_log")
