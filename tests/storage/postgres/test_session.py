"""A session is the same whatever the role, the database and what is between say; a pooler that lends it is refused."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from psycopg import sql

from spark_app.errors import SettingsError
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.locks import tables_exclusive_lock, tables_shared_lock
from spark_app.storage.postgres.retry import RetryPolicy
from tests.storage.postgres.logins import login_as
from tests.storage.postgres.pooler import pooler

ODD = {
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Tokyo",
    "search_path": "elsewhere",
    "default_transaction_isolation": "serializable",
    "statement_timeout": "20s",
    "lock_timeout": "1ms",
    "idle_session_timeout": "30s",
    "idle_in_transaction_session_timeout": "30s",
    "transaction_timeout": "30s",
}
RIGHT = {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "search_path": "public",
    "default_transaction_isolation": "read committed",
    "statement_timeout": "0",
    "lock_timeout": "1min",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
}


def settings(database: Database) -> dict[str, str]:
    with database.connect() as connection:
        return {name: connection.execute("SELECT current_setting(%s)", (name,)).fetchall()[0][0] for name in RIGHT}


def through(port: int, database: Database) -> Database:
    return replace(database, parameters={**database.parameters, "port": str(port)})


def test_settings_of_a_role_change_nothing(database: Database) -> None:
    with login_as(database, "spark_app_pipeline") as odd:
        with database.connect() as connection:
            for name, value in ODD.items():
                role = sql.Identifier(odd.parameters["user"])
                statement = sql.SQL("ALTER ROLE {} SET {} = {}")
                connection.execute(statement.format(role, sql.Identifier(name), sql.Literal(value)))
        assert settings(odd) == RIGHT


def test_a_lock_is_waited_for_less_long_than_an_answer(database: Database) -> None:
    impatient = replace(database, retry_policy=RetryPolicy(answer_seconds=10))
    assert settings(impatient)["lock_timeout"] == "8s"


def test_jdbc_asks_for_the_same_session(database: Database) -> None:
    query = parse_qs(urlsplit(database.jdbc_options()["url"].removeprefix("jdbc:")).query)
    (options,) = query["options"]
    asked = dict(part.split("=", 1) for part in options.removeprefix("-c ").split(" -c "))
    expected = {**RIGHT, "DateStyle": "ISO,MDY", "default_transaction_isolation": "read\\ committed"}
    assert asked == {**expected, "lock_timeout": "60000ms"}


def test_a_database_in_another_encoding_is_refused(empty_database: Database) -> None:
    name = f"{empty_database.parameters['dbname']}_ascii"
    with empty_database.connect() as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0".encode())
        ascii_only = replace(empty_database, parameters={**empty_database.parameters, "dbname": name})
        with pytest.raises(SettingsError, match=f"^the encoding of the database {name} is SQL_ASCII: it must be UTF8"):
            ascii_only.connect()
        connection.execute(f"DROP DATABASE {name}".encode())


def test_a_pooler_in_transaction_mode_is_refused_and_its_sessions_stay_as_they_are(database: Database) -> None:
    with pooler(database, "transaction") as pool:
        before = pool.setting("TimeZone"), pool.setting("lock_timeout")
        with pytest.raises(SettingsError, match="connection pooler .* name the server itself"):
            through(pool.port, database).connect()
        assert (pool.setting("TimeZone"), pool.setting("lock_timeout")) == before
        assert before[1] == "0"


def test_a_proxy_that_keeps_sessions_apart_works(database: Database) -> None:
    with pooler(database, "session") as proxy:
        behind = through(proxy.port, database)
        assert settings(behind) == RIGHT
        # Not every proxy passes them on.
        assert "options=" not in behind.jdbc_options()["url"]


def test_a_lost_lock_behind_a_proxy_ends_no_process_of_the_server(database: Database) -> None:
    with pooler(database, "session") as proxy, tables_shared_lock(through(proxy.port, database)) as lock:
        assert lock._connection is not None
        ((process, started),) = lock._connection.execute(
            "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        ).fetchall()
        assert isinstance(started, dt.datetime)
        assert (process, started) != tuple(lock._lost)
        assert tuple(lock._lost) == (None, None)


def test_a_lost_lock_ends_its_own_process(database: Database) -> None:
    with tables_exclusive_lock(database) as lock:
        assert lock._connection is not None
        assert lock._lost[0] == lock._connection.info.backend_pid
