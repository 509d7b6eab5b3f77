"""Delta staging: append-only tables that remember when they knew what.

`fetches` gets what came, by one atomic append per wave; `bars`, `holdings` and `quotes` get from it
what is new or differs, so that doing it again adds nothing.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from spark_app.errors import UsageError
from spark_app.schemas import BARS, FETCHES, HOLDINGS, QUOTES
from spark_app.spark.java_errors import JAVA_ERRORS
from spark_app.storage.delta.failures import staging_at_work
from spark_app.storage.delta.table_state import DataFile, DeltaState, read_delta_state

FETCHES_TABLE, BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE = "fetches", "bars", "holdings", "quotes"
_SCHEMAS: dict[str, StructType] = {
    FETCHES_TABLE: FETCHES,
    BARS_TABLE: BARS,
    HOLDINGS_TABLE: HOLDINGS,
    QUOTES_TABLE: QUOTES,
}
_FEW_FILES = 200
"""Spark looks at each file that it is told to read; of many, Delta's own scan leaves out more than it costs."""
_MINUTES = "yyyy-MM-dd HH:mm"
_ORIGIN_PROPERTY = "spark_app.origin"
WHOLE_FROM = "spark_app.whole_from"
"""The property of `fetches` with the time (UTC) from which on everything that was known at any moment is kept."""


@dataclass(frozen=True)
class Staging:
    """The staging tables below one folder or URL; `origin` is `real` or `synthetic`.

    With `known_at` (aware) they are read as they were then: what was fetched later does not count.
    """

    spark: SparkSession
    root: str
    origin: str
    known_at: dt.datetime | None = None

    def check_origin(self) -> None:
        """Refuse to mix synthetic and real data.

        Raises: UsageError: the staging tables hold the other kind.
        """
        held = self.property_of(FETCHES_TABLE, _ORIGIN_PROPERTY) if self._exists(FETCHES_TABLE) else None
        # Tables that say nothing hold our own.
        if held not in (None, self.origin):
            raise UsageError(
                f"the staging tables in {self.root} hold {held} data and the run would add {self.origin} data: "
                f"use another place (staging.path or SPARK_APP_HOME), or the other --source"
            )

    def path(self, table: str) -> str:
        """Where a staging table lies."""
        return f"{self.root.rstrip('/')}/{table}"

    def read(self, table: str) -> DataFrame:
        """Read every row of a staging table, none where it does not exist yet."""
        rows = self._read_all(table)
        return rows if self.known_at is None else rows.where(F.col("fetched_at") <= F.lit(self.known_at))

    def check_known_at(self) -> None:
        """Refuse a time of which nothing is known, or no longer everything.

        Raises: UsageError: everything that is kept was fetched later, or some of what was known then was removed.
        """
        if self.known_at is None:
            return
        whole_from = self.property_of(FETCHES_TABLE, WHOLE_FROM) if self._exists(FETCHES_TABLE) else None
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
        if not self._exists(table):
            return self.spark.createDataFrame([], _SCHEMAS[table])
        state = self._state(table)
        if state is None or len(state.files) > _FEW_FILES:
            return self.spark.read.format("delta").load(self.path(table))
        return self._read_files(table, state.files)

    def append(self, table: str, rows: DataFrame) -> int:
        """Append rows by one action; returns the Delta version that has them, the newest one where there are none.

        Raises: ServiceUnavailableError: the place cannot be written.
        """
        with staging_at_work(f"writing {self.path(table)}"):
            self.ensure(table)
            rows.select(*_SCHEMAS[table].fieldNames()).write.format("delta").mode("append").save(self.path(table))
        jvm: Any = self.spark.sparkContext._jvm
        log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(self.spark._jsparkSession, self.path(table))
        return int(log.unsafeVolatileSnapshot().version())

    def fetches_of(self, run_ids: Sequence[str], kind: str | None = None) -> DataFrame:
        """Read what some runs fetched, of one kind or of all; columns as schemas.FETCHES."""
        state = self._state(FETCHES_TABLE)
        if state is None:
            fetches = self.read(FETCHES_TABLE)
        else:
            holding = [f for f in state.files if any(f.may_hold("run_id", run_id) for run_id in run_ids)]
            fetches = self._read_files(FETCHES_TABLE, holding)
        fetched = fetches.where(F.col("run_id").isin(list(run_ids)))
        return fetched if kind is None else fetched.where(F.col("kind") == kind)

    def ensure(self, table: str) -> None:
        """Create a staging table where it does not exist yet.

        Raises: ServiceUnavailableError: the place cannot be written.
        """
        with staging_at_work(f"writing {self.path(table)}"):
            for is_last in (False, True):
                if self._exists(table):
                    return
                try:
                    new = DeltaTable.createIfNotExists(self.spark).location(self.path(table))
                    new.addColumns(_SCHEMAS[table]).property(_ORIGIN_PROPERTY, self.origin).execute()
                except JAVA_ERRORS:
                    # Another run may create it at the same moment, or was killed while it did.
                    if is_last and not self._exists(table):
                        raise
                    self._clear_unfinished_log(table)

    def size(self, table: str) -> int:
        """Return the bytes that a staging table takes, superseded files and Delta's log included; 0 without it."""
        if not self._exists(table):
            return 0
        jvm: Any = self.spark.sparkContext._jvm
        place = jvm.org.apache.hadoop.fs.Path(self.path(table))
        with staging_at_work(f"measuring {self.path(table)}"):
            system = place.getFileSystem(self.spark.sparkContext._jsc.hadoopConfiguration())
            return int(system.getContentSummary(place).getLength())

    def _read_files(self, table: str, files: Sequence[DataFile]) -> DataFrame:
        """Read Parquet files of a table; without any, Spark would find no table at all."""
        if not files:
            return self.spark.createDataFrame([], _SCHEMAS[table])
        return self.spark.read.schema(_SCHEMAS[table]).parquet(*[file.path for file in files])

    def _state(self, table: str) -> DeltaState | None:
        with staging_at_work(f"reading {self.path(table)}"):
            return read_delta_state(self.spark, self.path(table))

    def property_of(self, table: str, name: str) -> str | None:
        """Read a property of a staging table, None where it has none of this name."""
        state = self._state(table)
        if state is not None:
            return state.properties.get(name)
        with staging_at_work(f"reading {self.path(table)}"):
            rows = self.spark.sql(f"SHOW TBLPROPERTIES delta.`{self._quoted(table)}`").collect()
        return {row["key"]: row["value"] for row in rows}.get(name)

    def note_property(self, table: str, name: str, value: str) -> None:
        """Set a property of a staging table."""
        with staging_at_work(f"writing {self.path(table)}"):
            self.spark.sql(f"ALTER TABLE delta.`{self._quoted(table)}` SET TBLPROPERTIES ('{name}' = '{value}')")

    def _quoted(self, table: str) -> str:
        return self.path(table).replace("`", "``")

    def _exists(self, table: str) -> bool:
        """Say whether a table has a commit; the folder of its log alone is a table that is being created."""
        with staging_at_work(f"looking for {self.path(table)}"):
            return any(name.endswith(".json") for name in self._log_files(table))

    def _log_files(self, table: str) -> Iterable[str]:
        """Name the files of a table's log, each as it is looked at: a log of months has hundreds."""
        system, log = self._log(table)
        return (file.getPath().getName() for file in system.listStatus(log)) if system.exists(log) else ()

    def _clear_unfinished_log(self, table: str) -> None:
        """Remove the log of a table that has no commit: with its folder there, Delta would not create the table."""
        system, log = self._log(table)
        if self._exists(table) or not system.exists(log):
            return
        for name in self._log_files(table):
            if not name.endswith(".json"):
                system.delete(log.suffix(f"/{name}"), False)
        # Refused where a commit has come in between.
        with contextlib.suppress(Py4JJavaError):
            system.delete(log, False)

    def _log(self, table: str) -> tuple[Any, Any]:
        """Return the file system of a table's log, and the log's folder."""
        jvm: Any = self.spark.sparkContext._jvm
        log = jvm.org.apache.hadoop.fs.Path(f"{self.path(table)}/_delta_log")
        return log.getFileSystem(self.spark.sparkContext._jsc.hadoopConfiguration()), log
