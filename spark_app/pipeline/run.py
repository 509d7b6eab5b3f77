"""A run at work: what is asked of it, its settings, and where it reads and writes."""

from __future__ import annotations

import datetime as dt
import functools
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import DateType, IntegerType, StructField, StructType

from spark_app import market_calendar
from spark_app.config.settings import Settings
from spark_app.pipeline.request import Request
from spark_app.pipeline.summary import Summary
from spark_app.schemas import ServedTable
from spark_app.storage.delta.staging import Staging
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.publishing.publication import Publication, RowSet

_T = TypeVar("_T")
_AS_OF_DATES = StructType([StructField("as_of_date", DateType())])
_SESSIONS = StructType([StructField("trade_date", DateType()), StructField("session_number", IntegerType())])


def _confirm_nothing() -> None:
    pass


@dataclass(frozen=True, eq=False)
class Run:
    """One run, from its first stage to its last.

    Attributes:
        stopping: set when the user or the system asked the run to stop.
        summary: what the run reports, filled stage by stage.
        stage: the name of the stage at work, "" between stages.
        confirm_lock: makes sure that the run still has its locks; raises where it has not.
        remembered: what stages share, by the function that computes it; see `once_a_run`. Another request needs
            another memory: change it by `asking`.
    """

    request: Request
    settings: Settings
    spark: SparkSession
    staging: Staging
    database: Database
    stopping: threading.Event = field(default_factory=threading.Event)
    summary: Summary = field(default_factory=Summary)
    stage: str = ""
    confirm_lock: Callable[[], None] = _confirm_nothing
    remembered: dict[object, Any] = field(default_factory=dict)

    @property
    def as_of(self) -> dt.date:
        return self.request.as_of

    @property
    def as_of_dates(self) -> tuple[dt.date, ...]:
        """All as-of dates, in order; mostly one."""
        return self.request.as_of_dates or (self.as_of,)

    def asking(self, **changes: Any) -> Run:
        """The same run with another request, read from the same staging: `known_at` cannot change."""
        return replace(self, request=replace(self.request, **changes), remembered={})

    def window(self, sessions: int) -> list[dt.date]:
        """List the `sessions` sessions that end with the as-of session."""
        return market_calendar.sessions_ending(self.as_of, sessions)

    def staging_versions(self, tables: Collection[str]) -> dict[str, int]:
        """Return the version of each of these staging tables, if it exists, when this run last read it."""
        return {table: version for table, version in self.staging.versions_read.items() if table in tables}

    def sessions(self, dates: Sequence[dt.date]) -> DataFrame:
        """Make a DataFrame of sessions: trade_date, session_number (dense, increasing)."""
        return self.frame([(date, number) for number, date in enumerate(dates)], _SESSIONS)

    def as_of_frame(self) -> DataFrame:
        """Make a DataFrame of the as-of dates: as_of_date."""
        return self.frame([(date,) for date in self.as_of_dates], _AS_OF_DATES)

    def frame(self, rows: Iterable[Sequence[object]], schema: StructType) -> DataFrame:
        """Make a DataFrame of a few rows of the driver.

        Through Arrow it becomes a constant of the plan; from a list it would be an RDD, and each use of it a job.
        """
        columns = list(zip(*rows, strict=True)) or [()] * len(schema)
        return self.spark.createDataFrame(pa.table(columns, schema=to_arrow_schema(schema)), schema)

    def serve_dates(self, table: ServedTable, rows: Iterable[Sequence[object]]) -> Publication:
        """Serve computed rows as the whole content of the as-of dates: rows of a rerun replace those of the run before.

        Columns in: `table.computed_schema`, as_of_date among the as-of dates of the run.
        """
        dates = RowSet(("as_of_date",), tuple((date,) for date in self.as_of_dates))
        return Publication(table, self.frame(rows, table.computed_schema), dates)


def open_run(
    request: Request,
    settings: Settings,
    spark: SparkSession,
    database: Database,
    *,
    stopping: threading.Event | None = None,
    summary: Summary | None = None,
) -> Run:
    """Put a run together; nothing is read or written yet."""
    staging = Staging(spark, settings.staging_path, settings.data_origin, request.known_at)
    return Run(request, settings, spark, staging, database, stopping or threading.Event(), summary or Summary())


def once_a_run(compute: Callable[[Run], _T]) -> Callable[[Run], _T]:
    """Let the stages of a run share what this function computes; nothing that a later stage fetches may change it."""

    @functools.wraps(compute)
    def remembered(run: Run) -> _T:
        if compute not in run.remembered:
            run.remembered[compute] = compute(run)
        result: _T = run.remembered[compute]
        return result

    return remembered
