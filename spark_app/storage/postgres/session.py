"""What a database session is like, whatever the role, the database and the server's configuration say.

The same settings are used by psycopg, by JDBC and by PostgreSQL's client programs.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from psycopg import sql

from spark_app.errors import SettingsError
from spark_app.storage.postgres.url import POOLER

_LOCK_SECONDS = 60.0
"""A table that someone else has locked for longer ends the run: it is not silent for the time of an answer."""

_LOCK_PART_OF_ANSWER = 0.8
"""Where an answer is awaited for a shorter time, a lock is still reported as a lock, not as a lost connection."""

_SETTINGS = {
    "DateStyle": "ISO,MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "search_path": "public",
    "default_transaction_isolation": "read committed",
    # Locks are on idle connections, and a merge of years takes minutes; a lost network is noticed by other means.
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
}
_SETTINGS_17 = {"transaction_timeout": "0"}
"""Settings that PostgreSQL has since version 17."""

_PROBES = 3
_OWN_PROCESS = "SELECT pg_backend_pid()"


def session_settings(connection: psycopg.Connection, *, answer_seconds: float) -> dict[str, str]:
    """Return the settings of a session on the server of `connection`."""
    lock_seconds = min(_LOCK_SECONDS, _LOCK_PART_OF_ANSWER * answer_seconds)
    newer = _SETTINGS_17 if connection.info.server_version >= 170000 else {}
    return {**_SETTINGS, **newer, "lock_timeout": f"{max(1, round(lock_seconds * 1000))}ms"}


def as_options(settings: dict[str, str]) -> str:
    """Return settings as the value of libpq's and JDBC's parameter `options`."""
    return " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in settings.items())


def open_session(
    connection: psycopg.Connection, settings: dict[str, str], another: Callable[[], psycopg.Connection]
) -> None:
    """Check the database's encoding, make sure that the connection has a session of its own, and apply the settings.

    Args: another: opens a second connection to the same place.
    Raises: SettingsError: the database is not in UTF8; a pooler changes the session behind the connection.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise SettingsError(
            f"the encoding of the database {connection.info.dbname} is {encoding}: it must be UTF8 "
            "(CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0)"
        )
    if not _apply(connection, settings, process=connection.info.backend_pid):
        with another() as other:
            _require_session(connection, other)
        _apply(connection, settings, process=_process_of(connection))


def has_own_process(connection: psycopg.Connection) -> bool:
    """Say whether the server's process is the connection's own, without a proxy or pooler between them."""
    return _process_of(connection) == connection.info.backend_pid


def _apply(connection: psycopg.Connection, settings: dict[str, str], *, process: int) -> bool:
    """Apply the settings if this process of the server answers; says whether it did.

    The settings of a pooler's sessions are not changed: others use them.
    """
    calls = [
        sql.SQL("set_config({}, {}, false)").format(sql.Literal(name), sql.Literal(value))
        for name, value in settings.items()
    ]
    query = sql.SQL("SELECT {} WHERE pg_backend_pid() = {}").format(sql.SQL(", ").join(calls), sql.Literal(process))
    return connection.execute(query).fetchone() is not None


def _require_session(connection: psycopg.Connection, other: psycopg.Connection) -> None:
    """Make sure that two open connections have two processes of the server, and each keeps its own.

    Poolers and some providers' proxies report a process of their own; only a pooler in transaction or statement mode
    lends the process of one connection to the next.
    """
    own = _process_of(connection)
    for _ in range(_PROBES):
        if _process_of(other) == own or _process_of(connection) != own:
            raise SettingsError(POOLER)


def _process_of(connection: psycopg.Connection) -> int:
    ((process,),) = connection.execute(_OWN_PROCESS).fetchall()
    return int(process)
