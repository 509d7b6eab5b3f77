"""The run log: one row per run and stage in `logs_pipeline_run`, rejected data in `logs_consumer_error`."""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import psycopg
from psycopg.types.json import Jsonb

from spark_app import __version__
from spark_app.config.secrets import without_secrets
from spark_app.errors import UsageError
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.retry import retried

_IS_DONE = """
SELECT parameters = %(own)s AND NOT EXISTS (
    SELECT FROM logs_pipeline_run AS later
    WHERE later.as_of_date = own.as_of_date AND later.status = 'ok' AND later.finished_at > own.started_at
      AND (later.stage = ANY(%(depends_on)s) OR (
           later.stage = ANY(%(reruns_after)s) AND later.rows_inserted + later.rows_updated + later.rows_removed > 0)))
FROM logs_pipeline_run AS own WHERE stage = %(stage)s AND as_of_date = %(as_of_date)s AND status = 'ok'
ORDER BY finished_at DESC LIMIT 1
"""


@dataclass(frozen=True)
class RunKey:
    """One stage of one run, with its as-of date and its parameters."""

    run_id: str
    stage: str
    as_of_date: dt.date
    parameters: Mapping[str, object]


@dataclass(frozen=True)
class RunResult:
    """How a stage ended; the table's CHECK lists the values of `status`."""

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
    """Data that was rejected: the reason, and the data itself where there is some."""

    error_msg: str
    raw_value: str | None = None


@dataclass(frozen=True)
class RowCounts:
    """Number of rows that a merge inserted, updated, left unchanged and removed."""

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
def start_run(
    database: Database, run: RunKey, settings: Mapping[str, Mapping[str, object]] = MappingProxyType({})
) -> None:
    """Add the stage's row, with status `running`, the version of the code, the host and these `settings`."""
    with translated_errors("starting the run log"), database.connect() as connection:
        connection.execute(
            "INSERT INTO logs_pipeline_run (run_id, stage, as_of_date, status, parameters, started_at, code_version,"
            " host, settings) VALUES (%s, %s, %s, 'running', %s, now(), %s, %s, %s) ON CONFLICT DO NOTHING",
            (
                *(run.run_id, run.stage, run.as_of_date, Jsonb(dict(run.parameters))),
                *(__version__, platform.node(), Jsonb(_without_secrets(settings))),
            ),
        )


def finished_run(connection: psycopg.Connection, run: RunKey) -> RowCounts | None:
    """Return the counts of the run's merge if its row is complete already: only the answer to the commit was lost.

    Waits for a transaction that is completing it.
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
            ((storable(e.raw_value), storable(e.error_msg), run.stage, run.run_id) for e in errors),
        )


@retried
def is_done(
    database: Database, run: RunKey, *, depends_on: Sequence[str] = (), reruns_after: Sequence[str] = ()
) -> bool:
    """Say whether the stage's last good run for this date had these parameters and has all that came before it.

    What finished while it ran may have come after it had read.

    Args:
        depends_on: the stages before it, for which any later good run counts.
        reruns_after: other jobs, for which a later good run counts if it changed rows.
    """
    with translated_errors("reading the run log"), database.connect() as connection:
        return is_logged_done(connection, run, depends_on=depends_on, reruns_after=reruns_after)


def is_logged_done(
    connection: psycopg.Connection, run: RunKey, *, depends_on: Sequence[str], reruns_after: Sequence[str]
) -> bool:
    """Say what `is_done` says, over an open connection."""
    parameters = {"own": Jsonb(dict(run.parameters)), "stage": run.stage, "as_of_date": run.as_of_date}
    parameters |= {"depends_on": list(depends_on), "reruns_after": list(reruns_after)}
    row = connection.execute(_IS_DONE, parameters).fetchone()
    return row is not None and bool(row[0])


@retried
def read_origin(database: Database) -> str | None:
    """Return the kind of data in the database (`real`, `synthetic` or `files`), None if there is none yet."""
    with translated_errors("reading the data's origin"), database.connect() as connection:
        row = connection.execute("SELECT origin FROM logs_data_origin").fetchone()
        return None if row is None else str(row[0])


@retried
def check_origin(database: Database, origin: str) -> None:
    """Refuse to mix kinds of data.

    Raises: UsageError: the database has another kind.
    """
    with translated_errors("reading the data's origin"), database.connect() as connection:
        _check_origin(connection, origin)


def claim_origin(connection: psycopg.Connection, origin: str) -> None:
    """Record the kind of data in the database, in the transaction that `connection` is in.

    Raises: UsageError: it has the other kind.
    """
    connection.execute("INSERT INTO logs_data_origin (origin) VALUES (%s) ON CONFLICT DO NOTHING", (origin,))
    _check_origin(connection, origin)


def _check_origin(connection: psycopg.Connection, origin: str) -> None:
    row = connection.execute("SELECT origin FROM logs_data_origin").fetchone()
    if row is not None and row[0] != origin:
        raise UsageError(
            f"this database holds {row[0]} data and the run would add {origin} data: "
            f"use another database (DATABASE_URL or SPARK_APP_HOME), or another --source"
        )


def _without_secrets(settings: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    return {
        section: {key: storable(value) if isinstance(value, str) else value for key, value in values.items()}
        for section, values in settings.items()
    }


def storable(text: str | None) -> str | None:
    """Return a text that others wrote without secrets, and without the one character that Postgres does not store."""
    return None if text is None else without_secrets(text).replace("\x00", "\N{REPLACEMENT CHARACTER}")
