"""What `status` reads from Postgres: one connection, plain SQL."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import class_row

GOOD = ("ok", "nothing_to_do")
"""How a run ends that served its session, or had nothing to serve."""

_LAST_RUNS = """
SELECT DISTINCT ON (stage) stage, as_of_date, status, started_at, finished_at,
       extract(epoch FROM finished_at - started_at)::float8 AS seconds,
       rows_inserted + rows_updated + rows_unchanged AS rows, exit_code, message
FROM logs_pipeline_run WHERE stage = ANY(%s) ORDER BY stage, started_at DESC
"""
_SUCCESSES = """
SELECT stage, max(as_of_date) AS session, max(finished_at) AS finished_at FROM logs_pipeline_run
WHERE stage = ANY(%s) AND status = ANY(%s) GROUP BY stage
"""
# A rerun finds most answers in the cache, so the largest number of the last few runs is what a whole run takes.
_USUAL_REQUESTS = """
SELECT stage, max(requests) FROM (
    SELECT stage, requests, row_number() OVER (PARTITION BY stage ORDER BY finished_at DESC) AS place
    FROM logs_pipeline_run WHERE stage = ANY(%s) AND status = 'ok'
) AS good WHERE place <= 5 GROUP BY stage
"""
_BACKLOG = "SELECT count(*) AS messages, min(owed_since) AS since FROM logs_topic_outbox"


@dataclass(frozen=True)
class LastRun:
    """The newest run of a stage.

    Attributes:
        as_of_date: the session it worked for.
        status: how it ended, as in `logs_pipeline_run`; `running` also where it died.
        seconds: from its start to its end; None while it runs.
        rows: rows that it served, those that were there already included.
    """

    stage: str
    as_of_date: dt.date
    status: str
    started_at: dt.datetime
    finished_at: dt.datetime | None
    seconds: float | None
    rows: int
    exit_code: int | None
    message: str | None


@dataclass(frozen=True)
class Success:
    """The newest session that a stage served, and when it last ended well."""

    stage: str
    session: dt.date
    finished_at: dt.datetime | None


@dataclass(frozen=True)
class Size:
    """The newest date of a table (None where it is empty) and its number of rows."""

    newest: dt.date | None
    rows: int


@dataclass(frozen=True)
class Backlog:
    """The number of messages that Kafka has not acknowledged, and since when the oldest is pending."""

    messages: int
    since: dt.datetime | None


def read_last_runs(connection: psycopg.Connection, stages: Sequence[str]) -> Mapping[str, LastRun]:
    """Return the newest run of each stage that ever ran."""
    found = connection.cursor(row_factory=class_row(LastRun)).execute(_LAST_RUNS, (list(stages),))
    return {run.stage: run for run in found}


def read_successes(connection: psycopg.Connection, stages: Sequence[str]) -> Mapping[str, Success]:
    """Return the newest session that each stage served."""
    found = connection.cursor(row_factory=class_row(Success)).execute(_SUCCESSES, (list(stages), list(GOOD)))
    return {success.stage: success for success in found}


def read_usual_requests(connection: psycopg.Connection, stages: Sequence[str]) -> Mapping[str, int]:
    """Return the HTTP requests of a whole run of each stage, judged by its last five good runs."""
    return dict(connection.execute(_USUAL_REQUESTS, (list(stages),)).fetchall())


def read_size(connection: psycopg.Connection, table: str, date: str) -> Size:
    """Return the newest value of a table's `date` column, and its rows."""
    query = sql.SQL("SELECT max({}) AS newest, count(*) AS rows FROM {}").format(
        sql.Identifier(date), sql.Identifier(table)
    )
    return connection.cursor(row_factory=class_row(Size)).execute(query).fetchall()[0]


def read_backlog(connection: psycopg.Connection) -> Backlog:
    """Return how many messages are pending."""
    return connection.cursor(row_factory=class_row(Backlog)).execute(_BACKLOG).fetchall()[0]


def read_database_bytes(connection: psycopg.Connection) -> int:
    """Return the size of the whole database."""
    return int(connection.execute("SELECT pg_database_size(current_database())").fetchall()[0][0])
