"""The run log: one row per run and stage in `logs_pipeline_run`, and what was wrong in `logs_consumer_error`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg.types.json import Jsonb

from spark_app.errors import UsageError
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.retry import retried

_IS_DONE = """
SELECT parameters = %(own)s AND NOT EXISTS (
    SELECT FROM logs_pipeline_run AS later
    WHERE later.as_of_date = own.as_of_date AND later.status = 'ok' AND later.finished_at > own.finished_at
      AND (later.stage = ANY(%(after)s) OR (
           later.stage = ANY(%(beside)s) AND later.rows_inserted + later.rows_updated + later.rows_removed > 0)))
FROM logs_pipeline_run AS own WHERE stage = %(stage)s AND as_of_date = %(as_of_date)s AND status = 'ok'
ORDER BY finished_at DESC LIMIT 1
"""


@dataclass(frozen=True)
class RunKey:
    """One stage of one run, with what was asked of it."""

    run_id: str
    stage: str
    as_of_date: dt.date
    parameters: Mapping[str, object]


@dataclass(frozen=True)
class RunResult:
    """How a stage ended; `status` as listed in the table's CHECK."""

    status: str
    exit_code: int
    message: str
    requests: int = 0
    tickers_asked: int = 0
    tickers_ok: int = 0
    rows_rejected: int = 0
    delta_versions: Mapping[str, int] = field(default_factory=dict)
    is_staged: bool = False
    """Whether all fetches of the run have reached the tables made from them."""


@dataclass(frozen=True)
class ConsumerError:
    """Something that came and could not be used: what it was, and why not."""

    error_msg: str
    raw_value: str | None = None


@dataclass(frozen=True)
class RowCounts:
    """What a merge did to the served tables."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0

    def __add__(self, other: RowCounts) -> RowCounts:
        return RowCounts(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.removed + other.removed,
        )


@retried
def start_run(database: Database, run: RunKey) -> None:
    """Note that the stage is running."""
    with translated_errors("starting the run log"), database.connect() as connection:
        connection.execute(
            "INSERT INTO logs_pipeline_run (run_id, stage, as_of_date, status, parameters, started_at)"
            " VALUES (%s, %s, %s, 'running', %s, now()) ON CONFLICT DO NOTHING",
            (run.run_id, run.stage, run.as_of_date, Jsonb(dict(run.parameters))),
        )


def finished_run(connection: psycopg.Connection, run: RunKey) -> RowCounts | None:
    """What the run's merge did, where its row is complete already: the commit counted, and its answer was lost.

    Waits for a transaction that is about to complete it.
    """
    row = connection.execute(
        "SELECT finished_at, rows_inserted, rows_updated, rows_unchanged, rows_removed FROM logs_pipeline_run"
        " WHERE run_id = %s AND stage = %s FOR UPDATE",
        (run.run_id, run.stage),
    ).fetchone()
    return None if row is None or row[0] is None else RowCounts(*row[1:])


def finish_run(connection: psycopg.Connection, run: RunKey, result: RunResult, counts: RowCounts) -> None:
    """Complete the stage's row, in the transaction that `connection` is in."""
    connection.execute(
        "UPDATE logs_pipeline_run SET status = %s, exit_code = %s, message = %s, finished_at = now(), requests = %s,"
        " tickers_asked = %s, tickers_ok = %s, rows_inserted = %s, rows_updated = %s, rows_unchanged = %s,"
        " rows_removed = %s, rows_rejected = %s, delta_versions = %s,"
        " staged_at = coalesce(staged_at, CASE WHEN %s THEN now() END) WHERE run_id = %s AND stage = %s",
        (
            *(result.status, result.exit_code, result.message, result.requests),
            *(result.tickers_asked, result.tickers_ok, counts.inserted, counts.updated, counts.unchanged),
            *(counts.removed, result.rows_rejected, Jsonb(dict(result.delta_versions))),
            *(result.is_staged, run.run_id, run.stage),
        ),
    )


def log_errors(connection: psycopg.Connection, run: RunKey, errors: Iterable[ConsumerError]) -> None:
    """Add rows to `logs_consumer_error`, in the transaction that `connection` is in."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO logs_consumer_error (raw_value, error_msg, stage, run_id) VALUES (%s, %s, %s, %s)",
            ((_storable(e.raw_value), _storable(e.error_msg), run.stage, run.run_id) for e in errors),
        )


@retried
def is_done(database: Database, run: RunKey, *, after: Sequence[str] = (), beside: Sequence[str] = ()) -> bool:
    """Say whether the stage's newest good run for this date had these parameters and nothing it stands on came later.

    Args:
        after: the stages before it; a later good run of any of them counts.
        beside: other jobs; a later good run of theirs counts where it changed rows.
    """
    parameters = {"own": Jsonb(dict(run.parameters)), "stage": run.stage, "as_of_date": run.as_of_date}
    parameters |= {"after": list(after), "beside": list(beside)}
    with translated_errors("reading the run log"), database.connect() as connection:
        row = connection.execute(_IS_DONE, parameters).fetchone()
        return row is not None and bool(row[0])


@retried
def read_origin(database: Database) -> str | None:
    """Return what kind of data the database holds, None where it holds none yet."""
    with translated_errors("reading the data's origin"), database.connect() as connection:
        row = connection.execute("SELECT origin FROM logs_data_origin").fetchone()
        return None if row is None else str(row[0])


@retried
def check_origin(database: Database, origin: str) -> None:
    """Refuse to mix synthetic and real data.

    Raises: UsageError: the database holds the other kind.
    """
    with translated_errors("reading the data's origin"), database.connect() as connection:
        _refuse_other_origin(connection, origin)


def claim_origin(connection: psycopg.Connection, origin: str) -> None:
    """Note what kind of data the database holds from now on, in the transaction that `connection` is in.

    Raises: UsageError: it holds the other kind.
    """
    connection.execute("INSERT INTO logs_data_origin (origin) VALUES (%s) ON CONFLICT DO NOTHING", (origin,))
    _refuse_other_origin(connection, origin)


def _refuse_other_origin(connection: psycopg.Connection, origin: str) -> None:
    row = connection.execute("SELECT origin FROM logs_data_origin").fetchone()
    if row is not None and row[0] != origin:
        raise UsageError(
            f"this database holds {row[0]} data and the run would add {origin} data: "
            f"use another database (DATABASE_URL or SPARK_APP_HOME), or the other --source"
        )


def _storable(text: str | None) -> str | None:
    return None if text is None else text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
