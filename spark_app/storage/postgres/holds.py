"""What a run keeps to itself: its stage and date, a staging table, or all tables, by advisory locks of Postgres."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from typing import LiteralString

import psycopg

from spark_app.errors import AnotherRunActiveError
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.locks import Hold, give_back, holding
from spark_app.storage.postgres.retry import retried
from spark_app.storage.postgres.run_log import RunKey

_TRY_TABLES = "SELECT pg_try_advisory_lock(hashtextextended('all tables', 0))"
_TRY_TABLES_SHARED = "SELECT pg_try_advisory_lock_shared(hashtextextended('all tables', 0))"
_LONGEST_STAGING_SECONDS = 900


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
        if not is_granted(connection, _TRY_TABLES):
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
        if not try_stage(connection, run.stage, run.as_of_date):
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
    with locking(replace(database, patience=patience)) as connection:
        with translated_errors("waiting for another run to stage its rows"):
            connection.execute(f"SET lock_timeout = '{_LONGEST_STAGING_SECONDS}s'".encode())
            connection.execute("SELECT pg_advisory_lock(hashtextextended('staging ' || %s, 0))", (table,))
        yield


@retried
def is_at_work(database: Database, stage: str, as_of_date: dt.date) -> bool:
    """Say whether a run of this stage and date is active."""
    with locking(database) as connection:
        return not try_stage(connection, stage, as_of_date)


@contextlib.contextmanager
def locking(database: Database) -> Iterator[psycopg.Connection]:
    """Yield a connection for locks, and give all of them back at the end."""
    connection = database.connect_patiently()
    try:
        with translated_errors("locking"):
            yield connection
    finally:
        give_back(connection)


def _share_tables(connection: psycopg.Connection) -> None:
    if not is_granted(connection, _TRY_TABLES_SHARED):
        raise AnotherRunActiveError("apply_retention is at work: wait for it to end")


def try_stage(connection: psycopg.Connection, stage: str, as_of_date: dt.date) -> bool:
    """Take the lock of a stage and date; returns whether nobody else has it."""
    return is_granted(connection, "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", f"run {stage} {as_of_date}")


def is_granted(connection: psycopg.Connection, question: LiteralString, *parameters: object) -> bool:
    """Try to take a lock by a question that Postgres answers with true or false; returns the answer."""
    row = connection.execute(question, parameters).fetchone()
    return row is not None and bool(row[0])
