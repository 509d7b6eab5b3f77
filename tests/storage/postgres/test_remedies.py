"""Errors of PostgreSQL say who is in the way and what to do."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql
from pyspark.sql import SparkSession

from spark_app.errors import PassingFailureError, ServiceUnavailableError, SettingsError, SparkAppError
from spark_app.schemas import ETF_OHLC
from spark_app.storage.postgres import remedies, session
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.migrate import Migration, migrate, migrations
from spark_app.storage.postgres.publishing.loading import create_table, load
from spark_app.storage.postgres.publishing.publication import Publication
from spark_app.storage.postgres.retention import measure, old_prices, remove
from spark_app.storage.postgres.throttle import block_source
from spark_app.storage.postgres.verify import table_facts, verifying
from tests.storage.postgres.logins import login_as, url_of
from tests.storage.postgres.publishing.test_publish import bars, closes, send

PRICES = "collected_daily_etf_ohlc"
OLD = old_prices(dt.date(2020, 1, 1))[0]


def verify(database: Database) -> object:
    with verifying(database) as connection:
        return table_facts(connection, PRICES, "trade_date")


@pytest.fixture
def impatient(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The database where nobody waits for a lock."""
    monkeypatch.setattr(session, "_LOCK_SECONDS", 0.1)
    return replace(database, retry_policy=replace(database.retry_policy, retry_seconds=0))


@contextlib.contextmanager
def locked(database: Database, table: str, mode: str = "ACCESS EXCLUSIVE") -> Iterator[int]:
    """Lock the table as another program; yields its process."""
    with psycopg.connect(url_of(database), application_name="report") as other:
        other.execute(f"LOCK TABLE {table} IN {mode} MODE".encode())
        yield other.info.backend_pid


@pytest.mark.parametrize(
    ("table", "work"),
    [
        (PRICES, verify),
        (PRICES, lambda database: measure(database, OLD)),
        (PRICES, lambda database: remove(database, OLD)),
        ("logs_fetch_throttle", lambda database: block_source(database, "yahoo", pause_seconds=1, reason="")),
        ("schema_migrations", migrate),
    ],
)
def test_a_locked_table_is_named(impatient: Database, table: str, work: Callable[[Database], object]) -> None:
    with locked(impatient, table) as process, pytest.raises(PassingFailureError) as failure:
        work(impatient)
    assert failure.value.exit_code == 69
    assert str(failure.value).endswith(
        f"canceling statement due to lock timeout: {table} is locked by another session "
        f"(process {process}, user spark_app, application report): end it, or wait for it"
    )


def test_a_migration_names_a_table_that_is_only_read(impatient: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    added = Migration(99, "0099_later.sql", f"ALTER TABLE {PRICES} ADD COLUMN later text")
    known = [*migrations(), added]
    monkeypatch.setattr("spark_app.storage.postgres.migrate.migrations", lambda: known)
    with locked(impatient, PRICES, "ACCESS SHARE"), pytest.raises(PassingFailureError) as failure:
        migrate(impatient)
    assert f"migrating the schema: canceling statement due to lock timeout: {PRICES} is in use by" in str(failure.value)


def insert(database: Database) -> None:
    with translated_errors("writing"), database.connect() as connection:
        connection.execute("INSERT INTO logs_consumer_error (error_msg) VALUES ('x')")


def test_a_role_that_may_only_read_gets_the_remedy(database: Database) -> None:
    with login_as(database, "spark_app_pipeline") as careful:
        with database.connect() as connection:
            role = sql.Identifier(careful.parameters["user"])
            connection.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(role))
        with pytest.raises(SettingsError) as failure:
            insert(careful)
    assert str(failure.value) == (
        "PostgreSQL rejected writing: cannot execute INSERT in a read-only transaction: sessions are read-only by "
        "default: ALTER ROLE or ALTER DATABASE ... SET default_transaction_read_only = off"
    )


def test_a_standby_is_named_as_one() -> None:
    error = psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction")

    class Info:
        parameter_status = staticmethod({"in_hot_standby": "on"}.get)

    class Standby:
        info = Info()

    remedies.explain(Standby(), error)  # type: ignore[arg-type]
    with pytest.raises(ServiceUnavailableError) as failure, translated_errors("writing"):
        raise error
    assert not isinstance(failure.value, PassingFailureError)
    assert str(failure.value) == (
        "PostgreSQL failed while writing: cannot execute INSERT in a read-only transaction: "
        "the server is a standby: name the primary in DATABASE_URL"
    )


def test_a_missing_right_gets_the_remedy(database: Database) -> None:
    with login_as(database, "spark_app_reader") as reader, pytest.raises(SparkAppError) as failure:
        insert(reader)
    assert failure.value.exit_code == 1
    assert str(failure.value) == (
        "PostgreSQL rejected writing: permission denied for table logs_consumer_error: "
        "run `db roles`, or name a user with this right in DATABASE_ADMIN_URL (WORKFLOW.md, Roles)"
    )


# What the server raises, the error of ours, how its sentence ends.
RAISED = [
    ("53100", ServiceUnavailableError, "free space on the disk of the server"),
    ("53200", ServiceUnavailableError, "free memory on the machine of the server, or lower its work_mem"),
    ("53300", PassingFailureError, "end other sessions, or raise the server's max_connections"),
    ("53400", ServiceUnavailableError, "raise that limit of the server"),
    ("57P03", PassingFailureError, "of the server"),
    ("25006", SettingsError, "ALTER ROLE or ALTER DATABASE ... SET default_transaction_read_only = off"),
    ("42501", SparkAppError, "name a user with this right in DATABASE_ADMIN_URL (WORKFLOW.md, Roles)"),
    ("XX001", SparkAppError, "restore the database (WORKFLOW.md, Backup and loss)"),
]


@pytest.fixture
def raising(database: Database) -> Callable[[str, str], Database]:
    """Makes each row that is added to a table raise an SQLSTATE in the server; returns the database without retries."""

    def prepare(table: str, state: str) -> Database:
        body = f"BEGIN RAISE SQLSTATE '{state}' USING MESSAGE = 'words of the server'; END"
        with database.connect() as connection:
            connection.execute(f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $${body}$$".encode())
            trigger = f"CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()"
            connection.execute(trigger.encode())
        return replace(database, retry_policy=replace(database.retry_policy, retry_seconds=0))

    return prepare


@pytest.mark.parametrize(("state", "kind", "remedy"), RAISED)
def test_what_the_server_raises_in_a_merge_gets_the_remedy_and_nothing_is_served(
    spark: SparkSession,
    database: Database,
    raising: Callable[[str, str], Database],
    state: str,
    kind: type[SparkAppError],
    remedy: str,
) -> None:
    named = raising(PRICES, state)
    with pytest.raises(kind) as failure:
        send(named, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})))
    said = str(failure.value)
    assert type(failure.value) is kind
    assert ": words of the server" in said and said.endswith(remedy)
    assert ("\n" in said, closes(database)) == (False, {})


@pytest.mark.parametrize(("state", "kind", "remedy"), [RAISED[0], RAISED[2], RAISED[6]])
def test_what_the_server_raises_while_rows_are_loaded_gets_the_remedy(
    spark: SparkSession,
    database: Database,
    raising: Callable[[str, str], Database],
    state: str,
    kind: type[SparkAppError],
    remedy: str,
) -> None:
    with database.connect() as connection:
        create_table(connection, ETF_OHLC, "of_a_test")
    named = raising("loading.of_a_test", state)
    with pytest.raises(kind) as failure:
        load(named, bars(spark, {"XLK": "10"}), ETF_OHLC, "of_a_test")
    assert type(failure.value) is kind
    said = str(failure.value)
    assert said.startswith(f"loading rows for {PRICES} into PostgreSQL failed: words of the server: ")
    assert said.endswith(remedy)


def test_a_limit_of_connections_gets_the_remedy(database: Database) -> None:
    with login_as(database, "spark_app_pipeline") as limited:
        user = limited.parameters["user"]
        with database.connect() as connection:
            connection.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT 1").format(sql.Identifier(user)))
        with limited.connect(), pytest.raises(PassingFailureError) as failure:
            limited.connect()
    assert str(failure.value).endswith(
        f'too many connections for role "{user}": '
        "end other sessions, or raise the limit of the server, the database or the role"
    )


def test_a_table_that_was_dropped_gets_the_remedy(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("DROP TABLE collected_daily_benchmark_ohlc")
    with pytest.raises(SparkAppError) as failure:
        measure(database, old_prices(dt.date(2020, 1, 1))[1])
    assert str(failure.value).endswith(
        'relation "collected_daily_benchmark_ohlc" does not exist: a table was changed by hand: '
        "undo that, or restore the database (WORKFLOW.md, Backup and loss)"
    )
