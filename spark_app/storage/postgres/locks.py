"""All locks of the pipeline, in the order in which a run takes them.

| lock | protects | if taken |
|---|---|---|
| files of the embedded server (`embedded/server.py`) | starting and stopping the server, while a job uses it | wait |
| schema (`migrate.py`, `roles.sql`, `db restore`) | one migration, set-up of the roles or restore at a time | wait |
| `staging_writer_lock` | staging on a store where Delta cannot tell two writing applications apart | 73 |
| `tables_shared_lock`: every run; `tables_exclusive_lock`: retention, restore | tables in use from removal | 73 |
| `stage_lock`; `lone_stage_lock`, with the exclusive one: replay | a stage and as-of date from a second run | 73 |
| `staging_table_lock` | reading what is staged and appending what is new: two runs would append the same rows | wait |
| `merge <table>` in `publishing/publish.py` | one merge into a served table at a time, to its commit | wait |
| `send outbox` (`outbox.py`) | the order of messages: one run sends at a time | wait |

All but the files are advisory locks of Postgres. They belong to a connection, so a run that dies leaves none behind.
No run waits for the locks that end in exit code 73 (AlreadyRunningError), and no thread keeps one of
`staging_table_lock`, `merge` and `send outbox` while it waits for another of these three: so no two runs wait for each
other.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import LiteralString

import psycopg

from spark_app.errors import AlreadyRunningError
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.retry import retried
from spark_app.storage.postgres.run_log import RunKey

_TRY_WRITER = "SELECT pg_try_advisory_lock(hashtextextended('staging has one writer', 0))"
_TRY_TABLES = "SELECT pg_try_advisory_lock(hashtextextended('all tables', 0))"
_TRY_TABLES_SHARED = "SELECT pg_try_advisory_lock_shared(hashtextextended('all tables', 0))"
_TRY_STAGE = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
_TRY_STAGE_UNTIL_COMMIT = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
_WAIT_FOR_STAGING_TABLE = "SELECT pg_advisory_lock(hashtextextended('staging ' || %s, 0))"

# Behind a pooler the server's process is not the connection's own: it may be at work for another one by now.
_OWN_PROCESS = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid() AND pid = %s"
_END_LOST = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s"
_NO_PROCESS = (None, None)

_LONGEST_ANSWER_SECONDS = 15.0
"""A lock that is only tried answers at once: a connection that does not answer for so long is lost."""

_LONGEST_STAGING_SECONDS = 900

_Take = Callable[[psycopg.Connection], None]
"""Takes locks over a connection. Raises: AlreadyRunningError: another process has one of them."""


class Lock:
    """Locks on a connection of their own; taken again where the connection was lost."""

    def __init__(self, database: Database, take: _Take) -> None:
        self.retry_policy = database.retry_policy
        policy = replace(database.retry_policy, answer_seconds=_LONGEST_ANSWER_SECONDS)
        self._database = replace(database, retry_policy=policy)
        self._take = take
        self._connection: psycopg.Connection | None = None
        self._lost: Sequence[object] = _NO_PROCESS

    @retried
    def confirm(self) -> None:
        """Make sure that this process has the locks; call it before what they protect is written.

        Raises: AlreadyRunningError: lost to another process. ServiceUnavailableError: Postgres does not answer.
        """
        if self._connection is not None and not _answers(self._connection):
            self._connection.close()
            self._connection = None
        if self._connection is None:
            with translated_errors("locking"):
                self._connection = self._open()

    def release(self) -> None:
        """Release the locks."""
        if self._connection is not None:
            _release(self._connection)

    def _open(self) -> psycopg.Connection:
        connection = self._database.connect()
        try:
            # If only the network failed, the server may still keep the locks of the lost connection.
            connection.execute(_END_LOST, self._lost)
            self._take(connection)
            self._lost = connection.execute(_OWN_PROCESS, (connection.info.backend_pid,)).fetchone() or _NO_PROCESS
        except BaseException:
            _release(connection)
            raise
        return connection


@contextlib.contextmanager
def staging_writer_lock(database: Database) -> Iterator[Lock]:
    """Be the only application that writes to staging, for the duration of the block.

    Raises: AlreadyRunningError: another one writes.
    """

    def take(connection: psycopg.Connection) -> None:
        if not _is_granted(connection, _TRY_WRITER):
            raise AlreadyRunningError(
                "another run is already writing to staging, and staging on S3 takes one at a time: wait for it to end"
            )

    with _locked(database, take) as lock:
        yield lock


@contextlib.contextmanager
def tables_shared_lock(database: Database) -> Iterator[Lock]:
    """Keep rows from being removed for the duration of the block; any number of runs may do so at once.

    Raises: AlreadyRunningError: another process has `tables_exclusive_lock`.
    """
    with _locked(database, _share_tables) as lock:
        yield lock


@contextlib.contextmanager
def tables_exclusive_lock(database: Database) -> Iterator[Lock]:
    """Keep all runs from all tables for the duration of the block.

    Raises: AlreadyRunningError: a run uses them.
    """
    with _locked(database, _take_tables) as lock:
        yield lock


@contextlib.contextmanager
def stage_lock(database: Database, run: RunKey) -> Iterator[Lock]:
    """Be the only run of this stage and as-of date, for the duration of the block; shares the tables as well.

    Raises: AlreadyRunningError: another process runs it, or has `tables_exclusive_lock`.
    """
    with _locked(database, _taking_stage(run, _share_tables)) as lock:
        yield lock


@contextlib.contextmanager
def lone_stage_lock(database: Database, run: RunKey) -> Iterator[Lock]:
    """Run this stage and as-of date while no other run is active.

    Raises: AlreadyRunningError: another one uses the tables.
    """
    with _locked(database, _taking_stage(run, _take_tables)) as lock:
        yield lock


def _taking_stage(run: RunKey, take_tables: _Take) -> _Take:
    def take(connection: psycopg.Connection) -> None:
        take_tables(connection)
        if not _is_granted(connection, _TRY_STAGE, _stage_name(run.stage, run.as_of_date)):
            raise AlreadyRunningError(f"{run.stage} for {run.as_of_date} is already running: wait for it to end")

    return take


@contextlib.contextmanager
def staging_table_lock(database: Database, table: str) -> Iterator[None]:
    """Be the only run that adds rows to this staging table, for the duration of the block; waits 15 minutes for it."""
    # Waiting for a lock is no lost connection, however long it takes.
    policy = replace(database.retry_policy, answer_seconds=_LONGEST_STAGING_SECONDS + 60)
    connection = replace(database, retry_policy=policy).connect_with_retries()
    try:
        with translated_errors("waiting for another run to stage its rows"):
            connection.execute(f"SET lock_timeout = '{_LONGEST_STAGING_SECONDS}s'".encode())
            connection.execute(_WAIT_FOR_STAGING_TABLE, (table,))
        yield
    finally:
        _release(connection)


@retried
def is_running(database: Database, stage: str, as_of_date: dt.date) -> bool:
    """Say whether a process runs this stage and as-of date."""
    with translated_errors("locking"), database.connect() as connection:
        return not try_stage_lock(connection, stage, as_of_date)


def try_stage_lock(connection: psycopg.Connection, stage: str, as_of_date: dt.date) -> bool:
    """Try to take the lock of a stage and as-of date until the connection's transaction ends; says whether it did."""
    return _is_granted(connection, _TRY_STAGE_UNTIL_COMMIT, _stage_name(stage, as_of_date))


@contextlib.contextmanager
def _locked(database: Database, take: _Take) -> Iterator[Lock]:
    lock = Lock(database, take)
    lock.confirm()
    try:
        yield lock
    finally:
        lock.release()


def _share_tables(connection: psycopg.Connection) -> None:
    if not _is_granted(connection, _TRY_TABLES_SHARED):
        raise AlreadyRunningError("apply_retention, db restore or replay_topic is already running: wait for it to end")


def _take_tables(connection: psycopg.Connection) -> None:
    if not _is_granted(connection, _TRY_TABLES):
        raise AlreadyRunningError("another job is already running: wait for it to end")


def _stage_name(stage: str, as_of_date: dt.date) -> str:
    return f"run {stage} {as_of_date}"


def _is_granted(connection: psycopg.Connection, query: LiteralString, *parameters: object) -> bool:
    row = connection.execute(query, parameters).fetchone()
    return row is not None and bool(row[0])


def _release(connection: psycopg.Connection) -> None:
    """Release all locks of a connection, and close it."""
    # The server notices a closed connection only a moment later, when the next run may ask for the lock already.
    with contextlib.suppress(psycopg.Error):
        connection.execute("SELECT pg_advisory_unlock_all()")
    connection.close()


def _answers(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("SELECT")
    except (psycopg.OperationalError, psycopg.InterfaceError):
        return False
    return True
