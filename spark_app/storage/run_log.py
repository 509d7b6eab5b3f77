"""The run log: one row per run and stage in `logs_pipeline_run`, and what was wrong in `logs_consumer_error`."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import LiteralString

import psycopg
from psycopg.types.json import Jsonb

from spark_app.errors import AnotherRunActiveError, UsageError
from spark_app.storage.database import Database, translated_errors
from spark_app.storage.locks import Hold, give_back, holding
from spark_app.storage.patience import retried

_UNSERVED_RUNS = """
SELECT run_id FROM logs_pipeline_run
WHERE stage = %(stage)s AND run_id <> %(run_id)s AND started_at > coalesce((
    SELECT started_at FROM logs_pipeline_run
    WHERE stage = %(stage)s AND status = 'ok'
      AND (parameters -> 'tickers' IS NULL OR parameters -> 'tickers' @> %(tickers)s)
    ORDER BY as_of_date DESC, started_at DESC LIMIT 1), '-infinity')
UNION SELECT own.run_id FROM logs_pipeline_run AS own JOIN logs_pipeline_run AS other
    ON other.run_id <> own.run_id AND own.started_at < coalesce(
        other.finished_at, CASE WHEN other.staged_at IS NULL THEN 'infinity' ELSE other.staged_at END)
WHERE own.run_id = %(run_id)s AND own.stage = %(stage)s
"""
_IS_DONE = """
SELECT parameters = %(own)s AND NOT EXISTS (
    SELECT FROM logs_pipeline_run AS later
    WHERE later.as_of_date = own.as_of_date AND later.status = 'ok' AND later.finished_at > own.finished_at
      AND (later.stage = ANY(%(after)s) OR (
           later.stage = ANY(%(beside)s) AND later.rows_inserted + later.rows_updated + later.rows_removed > 0)))
FROM logs_pipeline_run AS own WHERE stage = %(stage)s AND as_of_date = %(as_of_date)s AND status = 'ok'
ORDER BY finished_at DESC LIMIT 1
"""
_TRY_TABLES = "SELECT pg_try_advisory_lock(hashtextextended('all tables', 0))"
_TRY_TABLES_SHARED = "SELECT pg_try_advisory_lock_shared(hashtextextended('all tables', 0))"
_MARK_STAGED = "UPDATE logs_pipeline_run SET staged_at = now() WHERE run_id = %s AND stage = %s AND staged_at IS NULL"

_LONGEST_STAGING_SECONDS = 900


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
class UnstagedRun:
    """A run and stage whose fetches may not all have reached the staging tables made from them."""

    run_id: str
    stage: str
    as_of_date: dt.date


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


@contextlib.contextmanager
def hold_tables(database: Database) -> Iterator[Hold]:
    """Keep the tables from being cut for the duration of the block; any number of runs may do so at once.

    Raises: AnotherRunActiveError: `hold_tables_alone` holds them.
    """
    with holding(database, _share_tables) as hold:
        yield hold


@contextlib.contextmanager
def hold_tables_alone(database: Database) -> Iterator[Hold]:
    """Keep every run away from all tables for the duration of the block.

    Raises: AnotherRunActiveError: a run is at work.
    """

    def take(connection: psycopg.Connection) -> None:
        if not _answer(connection, _TRY_TABLES):
            raise AnotherRunActiveError("another run is active: wait for it to end")

    with holding(database, take) as hold:
        yield hold


@contextlib.contextmanager
def hold_stage(database: Database, run: RunKey) -> Iterator[Hold]:
    """Keep every other run away from this stage and date for the duration of the block.

    Raises: AnotherRunActiveError: another run holds it, or `hold_tables_alone` all tables.
    """

    def take(connection: psycopg.Connection) -> None:
        _share_tables(connection)
        if not _try_lock(connection, run.stage, run.as_of_date):
            raise AnotherRunActiveError(
                f"another run of {run.stage} for {run.as_of_date} is active: wait for it to end"
            )

    with holding(database, take) as hold:
        yield hold


@contextlib.contextmanager
def hold_staging(database: Database, table: str) -> Iterator[None]:
    """Let one run at a time find out what is new in a staging table, and append it; the others wait.

    Two that did so at once would both append the same rows.
    """
    # A lock that somebody has is no lost connection, however long it takes.
    patience = replace(database.patience, answer_seconds=_LONGEST_STAGING_SECONDS + 60)
    with _locking(replace(database, patience=patience)) as connection:
        with translated_errors("waiting for another run to stage its rows"):
            connection.execute(f"SET lock_timeout = '{_LONGEST_STAGING_SECONDS}s'".encode())
            connection.execute("SELECT pg_advisory_lock(hashtextextended('staging ' || %s, 0))", (table,))
        yield


@retried
def is_at_work(database: Database, stage: str, as_of_date: dt.date) -> bool:
    """Say whether a run of this stage and date is active."""
    with _locking(database) as connection:
        return not _try_lock(connection, stage, as_of_date)


@contextlib.contextmanager
def _locking(database: Database) -> Iterator[psycopg.Connection]:
    """Yield a connection for locks, and give all of them back at the end."""
    connection = database.connect_patiently()
    try:
        with translated_errors("locking"):
            yield connection
    finally:
        give_back(connection)


def _share_tables(connection: psycopg.Connection) -> None:
    if not _answer(connection, _TRY_TABLES_SHARED):
        raise AnotherRunActiveError("apply_retention is at work: wait for it to end")


def _try_lock(connection: psycopg.Connection, stage: str, as_of_date: dt.date) -> bool:
    return _answer(connection, "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", f"run {stage} {as_of_date}")


def _answer(connection: psycopg.Connection, question: LiteralString, *parameters: object) -> bool:
    row = connection.execute(question, parameters).fetchone()
    return row is not None and bool(row[0])


@retried
def start_run(database: Database, run: RunKey) -> None:
    """Note that the stage is running."""
    with translated_errors("starting the run log"), database.connect() as connection:
        connection.execute(
            "INSERT INTO logs_pipeline_run (run_id, stage, as_of_date, status, parameters, started_at)"
            " VALUES (%s, %s, %s, 'running', %s, now()) ON CONFLICT DO NOTHING",
            (run.run_id, run.stage, run.as_of_date, Jsonb(dict(run.parameters))),
        )


@retried
def unstaged_runs(database: Database, run_id: str) -> list[UnstagedRun]:
    """List the other runs of the last 30 days that landed fetches, or may have, and did not stage all of them."""
    with translated_errors("reading the run log"), database.connect() as connection:
        rows = connection.execute(
            "SELECT run_id, stage, as_of_date FROM logs_pipeline_run"
            " WHERE staged_at IS NULL AND run_id <> %s AND started_at > now() - interval '30 days'",
            (run_id,),
        ).fetchall()
    return [UnstagedRun(*row) for row in rows]


@retried
def unserved_runs(database: Database, run_id: str, stage: str, tickers: Sequence[str] | None) -> list[str]:
    """List the other runs of a stage since the newest good one for its newest session.

    They failed, or were for a session of the past: what they restated may be staged, and not be served everywhere.
    The run itself is listed where another one was at work beside it, which may have staged what it landed.

    Args: tickers: those that the good run must have served, None for all.
    """
    wanted = None if tickers is None else Jsonb(list(tickers))
    parameters = {"stage": stage, "run_id": run_id, "tickers": wanted}
    with translated_errors("reading the run log"), database.connect() as connection:
        return [row[0] for row in connection.execute(_UNSERVED_RUNS, parameters).fetchall()]


@retried
def mark_recovered(
    database: Database, run: RunKey, others: Sequence[UnstagedRun], errors: Sequence[ConsumerError]
) -> None:
    """Note that what other runs had landed is staged, and what was wrong with it: both or neither.

    Runs that are still at work and may land more are left out; whoever had the lock of `run` before is gone.
    """
    with translated_errors("writing the run log"), _locking(database) as connection, connection.transaction():
        marked = 0
        for other in others:
            is_ours = (other.stage, other.as_of_date) == (run.stage, run.as_of_date)
            if is_ours or _try_lock(connection, other.stage, other.as_of_date):
                marked += connection.execute(_MARK_STAGED, (other.run_id, other.stage)).rowcount
        if marked:
            log_errors(connection, run, errors)


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
