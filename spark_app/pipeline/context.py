"""What every stage of a run works with, and what it gives back."""

from __future__ import annotations

import datetime as dt
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import DateType, IntegerType, StructField, StructType

from spark_app import market_calendar
from spark_app.config.kafka import TopicStart
from spark_app.config.settings import Settings
from spark_app.errors import SparkAppError
from spark_app.pipeline.fetch_summary import FetchSummary
from spark_app.schemas import ServedTable
from spark_app.storage.delta.staging import Staging
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.publish import Publication, RowSet
from spark_app.storage.postgres.run_log import ConsumerError

_AS_OF_DATES = StructType([StructField("as_of_date", DateType())])
_SESSIONS = StructType([StructField("trade_date", DateType()), StructField("session_number", IntegerType())])


def new_run_id(now: dt.datetime) -> str:
    """Make the name of a run: when it began (UTC), and something that no other run has."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class RunRequest:
    """What is asked of a run.

    `days` is the number of sessions that the price tables get; `universe` is `trending` or `all`.
    `as_of_dates` are all sessions that results are wanted of, where that is more than `as_of`, the last of them;
    `known_at` leaves out what was fetched later; `tables` are those to republish, None for all.
    `topic_start` and `origin` are where a replay begins, and what kind of data it is to take.
    `tickers` are the funds to fetch, None for all. `refresh` asks anew for what staging still holds, `force`
    also while a rate limit lasts, `one_at_a_time` sends no two requests at once. `resume_command` goes on where
    this run stops.
    """

    run_id: str
    as_of: dt.date
    now: dt.datetime
    days: int = 21
    universe: str = "trending"
    as_of_dates: tuple[dt.date, ...] = ()
    known_at: dt.datetime | None = None
    tables: tuple[str, ...] | None = None
    topic_start: TopicStart = field(default_factory=TopicStart)
    origin: str | None = None
    tickers: tuple[str, ...] | None = None
    refresh: bool = False
    force: bool = False
    one_at_a_time: bool = False
    resume_command: str = ""


def _confirm_nothing() -> None:
    pass


@dataclass(frozen=True)
class StageContext:
    """One run at work: what is asked of it, its settings, and where it reads and writes.

    Contexts of one request and staging are equal, whatever lock they confirm: so stages share what they derive alike.
    """

    request: RunRequest
    settings: Settings = field(compare=False)
    spark: SparkSession = field(compare=False)
    staging: Staging
    database: Database = field(compare=False)
    stopping: threading.Event = field(default_factory=threading.Event, compare=False)
    """Set when the user or the system asked the run to stop."""
    confirm_lock: Callable[[], None] = field(default=_confirm_nothing, compare=False)
    """Makes sure that what the run has locked is still its own; raises AlreadyRunningError where it is not."""

    @property
    def as_of(self) -> dt.date:
        return self.request.as_of

    @property
    def all_as_of(self) -> tuple[dt.date, ...]:
        """All as-of dates, in order; mostly one."""
        return self.request.as_of_dates or (self.as_of,)

    def window(self, sessions: int) -> list[dt.date]:
        """List the `sessions` sessions that end with the as-of session."""
        return market_calendar.sessions_ending(self.as_of, sessions)

    def numbered_sessions(self, sessions: Sequence[dt.date]) -> DataFrame:
        """Make a DataFrame of the sessions: trade_date, session_number (dense, increasing)."""
        return self.local_frame([(session, number) for number, session in enumerate(sessions)], _SESSIONS)

    def as_of_dates(self) -> DataFrame:
        """Make a DataFrame of the as-of dates: as_of_date."""
        return self.local_frame([(day,) for day in self.all_as_of], _AS_OF_DATES)

    def dated_publication(self, table: ServedTable, rows: Iterable[Sequence[object]]) -> Publication:
        """Make of a table's computed rows, all of them on the as-of dates, what those dates hold from now on."""
        dates = RowSet(("as_of_date",), tuple((day,) for day in self.all_as_of))
        return Publication(table, self.local_frame(rows, table.computed_schema), dates)

    def local_frame(self, rows: Iterable[Sequence[object]], schema: StructType) -> DataFrame:
        """Make a DataFrame of a few rows of the driver's.

        Through Arrow it becomes a constant of the plan; from a list it would be an RDD, and each use of it a job.
        """
        columns = list(zip(*rows, strict=True)) or [()] * len(schema)
        return self.spark.createDataFrame(pa.table(columns, schema=to_arrow_schema(schema)), schema)


@dataclass(frozen=True)
class StageOutput:
    """What a stage produced: rows to publish, what was wrong, and a sentence about it.

    `failure` ends the run after everything here was stored. Without `is_staged` a later run has to stage what this
    one landed. `replayed_origin` is what kind of data the rows are where they came from the topic; they are not sent
    there again.
    """

    message: str
    publications: tuple[Publication, ...] = ()
    fetched: FetchSummary = field(default_factory=FetchSummary)
    errors: Iterable[ConsumerError] = ()
    rows_rejected: int = 0
    delta_versions: Mapping[str, int] = field(default_factory=dict)
    failure: SparkAppError | None = None
    is_staged: bool = True
    replayed_origin: str | None = None


@dataclass(frozen=True)
class StageReport:
    """How one stage of a run ended, for the summary line and `--json`."""

    run_id: str
    stage: str
    as_of_date: dt.date
    status: str
    exit_code: int
    message: str
    seconds: float
    requests: int = 0
    rows_inserted: int = 0
    rows_updated: int = 0
    rows_unchanged: int = 0
    rows_removed: int = 0
    rows_rejected: int = 0
    resume_at: dt.datetime | None = None
    """After a rate limit, when going on makes sense (UTC)."""
    messages_sent: int = 0
    messages_owed: int | None = 0
    """Unknown where Postgres did not answer any more."""
