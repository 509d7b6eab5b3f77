"""The roles: each can do its work, and nothing else."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from pyspark.sql import SparkSession

from spark_app.cli import database as command
from spark_app.config.kafka import KafkaAccess, KafkaSettings
from spark_app.config.settings import DatabaseSettings, Settings
from spark_app.errors import RateLimitedError, RunInterruptedError, SettingsError, SparkAppError
from spark_app.pipeline.preparation import prepare_database
from spark_app.results.served import read_results
from spark_app.schemas import ETF_OHLC, PORTFOLIO_EXCLUSION
from spark_app.storage.kafka.delivery import Delivery, deliver
from spark_app.storage.postgres import migrate as migrate_module
from spark_app.storage.postgres.database import Database, administrator_of, parse_url
from spark_app.storage.postgres.embedded.server import EmbeddedPostgres
from spark_app.storage.postgres.limiter import FetchLimits, PostgresLimiter
from spark_app.storage.postgres.locks import stage_lock
from spark_app.storage.postgres.migrate import Migration, migrate
from spark_app.storage.postgres.publishing.loading import SCHEMA, create_table
from spark_app.storage.postgres.publishing.publication import Publication, RowSet
from spark_app.storage.postgres.publishing.publish import publish, sweep_orphans
from spark_app.storage.postgres.recovery import mark_recovered, unstaged_runs
from spark_app.storage.postgres.roles import ROLES, set_up_roles
from spark_app.storage.postgres.run_log import ConsumerError, RowCounts, check_origin, is_done, start_run
from spark_app.storage.postgres.throttle import block_source, clear_block, forget_stop, read_throttle, request_stop
from tests.kafka.topics import broker_in_process
from tests.storage.postgres.copies import copy_home
from tests.storage.postgres.logins import login_as, url_of
from tests.storage.postgres.publishing.test_publish import DAY, OK, bars, exclusions, run_key, send

PRICES = ("collected_daily_etf_ohlc", "collected_daily_benchmark_ohlc", "collected_daily_stock_history")
ANALYTICS = ("analytics_trending_sectors", "analytics_portfolio_allocation", "analytics_portfolio_exclusion")
NOTED = ("logs_fetch", "logs_price_restatement")
LOGS = ("logs_pipeline_run", "logs_consumer_error", "logs_data_origin", "logs_fetch_throttle", *NOTED)
PASSING = ("logs_fetch_stop", "logs_topic_outbox")
COLLECTED = (*PRICES, "collected_meta_etf")
TABLES = (*COLLECTED, *ANALYTICS, *LOGS, *PASSING, "schema_migrations")

NOT_THE_PIPELINES_WORK = (
    *(f"DELETE FROM {table}" for table in (*PRICES, *LOGS, "schema_migrations")),
    *(f"TRUNCATE {table}" for table in TABLES),
    *(f"DROP TABLE {table}" for table in TABLES),
    "DROP VIEW analytics_portfolio_changes",
    "DROP VIEW analytics_portfolio_turnover",
    "UPDATE logs_consumer_error SET error_msg = ''",
    "UPDATE logs_data_origin SET origin = 'synthetic'",
    "INSERT INTO logs_fetch_throttle (source) VALUES ('other')",
    "UPDATE logs_topic_outbox SET topic = 'another'",
    "SELECT setval(pg_get_serial_sequence('logs_topic_outbox', 'id'), 1)",
    "UPDATE schema_migrations SET checksum = ''",
    "INSERT INTO schema_migrations (version, name, checksum) VALUES (99, 'later', 'x')",
    "ALTER TABLE collected_daily_etf_ohlc DROP COLUMN volume",
    "CREATE INDEX ON collected_daily_etf_ohlc (volume)",
    "CREATE TABLE public.mine (x integer)",
    "CREATE TEMPORARY TABLE mine (x integer)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION public.mine() RETURNS integer LANGUAGE sql RETURN 1",
    "CREATE ROLE mine",
    "DROP SCHEMA loading",
    "GRANT SELECT ON collected_daily_etf_ohlc TO PUBLIC; SET ROLE spark_app_owner",
    "COPY collected_daily_etf_ohlc TO PROGRAM 'cat'",
    "COPY collected_daily_etf_ohlc TO '/tmp/stolen'",
    "COPY collected_daily_etf_ohlc FROM PROGRAM 'echo'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT rolpassword FROM pg_authid",
)

Login = Callable[[str], Database]


@pytest.fixture
def login(database: Database) -> Iterator[Login]:
    """Make a login user in a role."""
    # A copy of a database does not have the rights on the database itself.
    set_up_roles(database)
    with contextlib.ExitStack() as users:
        yield lambda role: users.enter_context(login_as(database, role))


@pytest.fixture
def pipeline(login: Login) -> Database:
    return login("spark_app_pipeline")


@pytest.fixture
def server_without_roles(open_folder: Path, initialised_postgres: Path) -> Iterator[Database]:
    """A server of the test's own without our roles, as its superuser sees it."""
    home = copy_home(initialised_postgres, open_folder / f"no roles {secrets.token_hex(4)}")
    with EmbeddedPostgres(home).lease() as url:
        server = parse_url(url)
        with server.connect() as connection:
            connection.execute("DROP SCHEMA public, loading CASCADE")
            for role in ROLES:
                connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())
        yield server


@pytest.fixture
def administrator(server_without_roles: Database) -> Database:
    """Who owns an empty database on a server without our roles, and may create some; no superuser."""
    with server_without_roles.connect() as connection:
        connection.execute("CREATE ROLE administrator LOGIN CREATEROLE PASSWORD 'sesame'")
        connection.execute("CREATE DATABASE market OWNER administrator")
    return Database({**server_without_roles.parameters, "user": "administrator", "dbname": "market"}, "sesame")


def run(database: Database, text: str) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def is_refused(database: Database, text: str) -> bool:
    """Say whether the statement is refused for want of a right, and not done."""
    with database.connect() as connection, connection.transaction(force_rollback=True):
        try:
            connection.execute(text.encode())
        except psycopg.errors.InsufficientPrivilege:
            return True
    return False


def test_the_pipeline_loads_reloads_and_removes_stale_rows(
    spark: SparkSession, database: Database, pipeline: Database
) -> None:
    day = RowSet(("as_of_date",), ((DAY,),))
    first = send(
        pipeline,
        Publication(ETF_OHLC, bars(spark, {"XLK": "10", "XLE": "11"})),
        Publication(PORTFOLIO_EXCLUSION, exclusions(spark, ["A", "B"]), day),
    )
    second = send(
        pipeline,
        Publication(ETF_OHLC, bars(spark, {"XLK": "10.5", "XLE": "11"})),
        Publication(PORTFOLIO_EXCLUSION, exclusions(spark, ["B"]), day),
        key=run_key("run-00000002"),
    )
    assert (first, second) == (RowCounts(inserted=4), RowCounts(updated=1, unchanged=2, removed=1))
    assert run(database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'loading'") == [(0,)]


def test_the_pipeline_keeps_its_run_log(pipeline: Database) -> None:
    key = run_key()
    with stage_lock(pipeline, key):
        start_run(pipeline, key)
        publish(pipeline, key, OK, origin="real", errors=[ConsumerError("odd", "raw")])
    start_run(pipeline, run_key("run-00000002"))
    mark_recovered(pipeline, run_key(), unstaged_runs(pipeline, "run-00000003"), [ConsumerError("odd", "raw")])
    assert unstaged_runs(pipeline, "run-00000003") == []
    assert is_done(pipeline, run_key())
    check_origin(pipeline, "real")
    assert read_results(pipeline, None, dt.datetime.now(dt.UTC)) is None


def test_the_pipeline_adds_messages_and_sends_them(spark: SparkSession, pipeline: Database) -> None:
    start_run(pipeline, run_key())
    day = RowSet(("as_of_date",), ((DAY,),))
    rows = [Publication(PORTFOLIO_EXCLUSION, exclusions(spark, ["A"]), day)]
    publish(pipeline, run_key(), OK, origin="real", publications=rows, topic="rows")
    with broker_in_process() as servers:
        access = KafkaAccess(KafkaSettings(bootstrap_servers=servers, timeout_seconds=30))
        assert deliver(pipeline, access) == Delivery(sent=1)
    assert run(pipeline, "SELECT count(*) FROM logs_topic_outbox") == [(0,)]


def test_the_pipeline_throttles_its_requests(pipeline: Database) -> None:
    with contextlib.closing(PostgresLimiter(pipeline, "yahoo", FetchLimits(0.01, 1000, 900))) as limiter:
        limiter.run_id = "run-00000001"
        limiter.acquire()
        limiter.acquire()
        block_source(pipeline, "yahoo", pause_seconds=900, reason="429")
        with pytest.raises(RateLimitedError):
            limiter.acquire()
        clear_block(pipeline, "yahoo")
        request_stop(pipeline, "run-00000001")
        with pytest.raises(RunInterruptedError):
            limiter.acquire()
        forget_stop(pipeline, "run-00000001")
        limiter.acquire()
        assert read_throttle(pipeline, "yahoo").requests_today == 3


def test_the_pipeline_starts_on_an_up_to_date_schema(pipeline: Database) -> None:
    prepare_database(pipeline, Settings())
    assert run(pipeline, "SELECT count(*) FROM schema_migrations") == [(len(migrate_module.migrations()),)]


def test_the_pipeline_sweeps_its_own_orphans_and_passes_over_those_of_others(
    database: Database, pipeline: Database, login: Login
) -> None:
    for name, owner in (("mine", pipeline), ("anothers", login("spark_app_pipeline"))):
        with owner.connect() as connection:
            create_table(connection, ETF_OHLC, name)
            connection.execute(f"COMMENT ON TABLE {SCHEMA}.{name} IS '2023-06-30T00:00:00+00:00'".encode())
    sweep_orphans(pipeline)
    left = "SELECT tablename FROM pg_tables WHERE schemaname = 'loading'"
    assert run(database, left) == [("anothers",)]
    sweep_orphans(login("spark_app_owner"))
    assert run(database, left) == []


def test_the_pipeline_has_no_other_rights(pipeline: Database) -> None:
    assert [statement for statement in NOT_THE_PIPELINES_WORK if not is_refused(pipeline, statement)] == []


def test_a_reader_reads_everything_and_changes_nothing(login: Login) -> None:
    reader = login("spark_app_reader")
    for table in (*TABLES, "analytics_portfolio_changes", "analytics_portfolio_turnover"):
        run(reader, f"SELECT * FROM {table}")
    for table in TABLES:
        (column,) = run(reader, f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum = 1")
        assert is_refused(reader, f"INSERT INTO {table} DEFAULT VALUES")
        assert is_refused(reader, f"UPDATE {table} SET {column[0]} = DEFAULT")
        assert is_refused(reader, f"DELETE FROM {table}")
        assert is_refused(reader, f"TRUNCATE {table}")
    assert is_refused(reader, "CREATE TABLE loading.mine (x integer)")
    assert is_refused(reader, "CREATE TABLE public.mine (x integer)")
    assert read_results(reader, None, dt.datetime.now(dt.UTC)) is None


def test_retention_deletes_old_rows_of_what_it_keeps_and_nothing_else(
    spark: SparkSession, database: Database, login: Login
) -> None:
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})))
    run(
        database,
        "INSERT INTO logs_consumer_error (error_msg, received_at) VALUES ('old', '2020-01-01'), ('new', now())",
    )
    retention = login("spark_app_retention")
    for table in PRICES:
        run(retention, f"DELETE FROM {table} WHERE trade_date < '2023-07-01'")
    run(retention, "DELETE FROM collected_meta_etf WHERE as_of_date < '2023-07-01'")
    run(retention, "DELETE FROM logs_consumer_error WHERE received_at < now() - interval '7 days'")
    assert run(database, "SELECT count(*) FROM collected_daily_etf_ohlc") == [(0,)]
    assert run(database, "SELECT error_msg FROM logs_consumer_error") == [("new",)]
    for table in (*ANALYTICS, "logs_pipeline_run", *LOGS[2:], *PASSING, "schema_migrations"):
        assert is_refused(retention, f"DELETE FROM {table}")
    for table in TABLES:
        assert is_refused(retention, f"TRUNCATE {table}")
        assert is_refused(retention, f"INSERT INTO {table} DEFAULT VALUES")
    for table in COLLECTED:
        assert is_refused(retention, f"UPDATE {table} SET run_id = ''")
    assert is_refused(retention, "CREATE TABLE loading.mine (x integer)")


def test_everything_that_migrations_made_belongs_to_the_owner(database: Database) -> None:
    """What is named here needs its lines in roles.sql."""
    set_up_roles(database)
    others = run(
        database,
        "SELECT relname FROM pg_class WHERE relnamespace IN ('public'::regnamespace, 'loading'::regnamespace)"
        " AND relkind IN ('r', 'v', 'm', 'S') AND relowner <> 'spark_app_owner'::regrole"
        " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace IN ('public'::regnamespace, 'loading'::regnamespace)"
        " AND proowner <> 'spark_app_owner'::regrole",
    )
    assert others == []


def test_setting_up_again_reverts_changes_made_by_hand(
    spark: SparkSession, database: Database, pipeline: Database
) -> None:
    run(database, "GRANT DELETE ON collected_daily_etf_ohlc TO spark_app_pipeline")
    run(database, "REVOKE INSERT ON collected_daily_etf_ohlc FROM spark_app_pipeline")
    set_up_roles(database)
    assert is_refused(pipeline, "DELETE FROM collected_daily_etf_ohlc")
    assert send(pipeline, Publication(ETF_OHLC, bars(spark, {"XLK": "10"}))) == RowCounts(inserted=1)


def test_an_administrator_who_is_no_superuser_sets_up_a_new_database(
    administrator: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:s3cret@127.0.0.1:1/none")
    monkeypatch.setenv("DATABASE_ADMIN_URL", url_of(administrator))
    for _ in range(2):
        assert command.main(["db", "roles"]) == 0
    assert "spark_app_owner, spark_app_pipeline, spark_app_retention, spark_app_reader" in capsys.readouterr().out
    assert migrate(administrator) == []


def test_an_administrator_of_a_server_with_a_database_of_the_same_name_is_refused(
    postgres_url: str, server_without_roles: Database
) -> None:
    database = parse_url(postgres_url)
    assert server_without_roles.parameters["dbname"] == database.parameters["dbname"]
    named = DatabaseSettings(url=SecretStr(postgres_url), admin_url=SecretStr(url_of(server_without_roles)))
    with pytest.raises(SettingsError, match="^DATABASE_ADMIN_URL leads to another database "):
        administrator_of(named, database)


def test_a_user_without_the_right_to_set_up_roles_is_told_so(
    database: Database, pipeline: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", url_of(pipeline))
    monkeypatch.delenv("DATABASE_ADMIN_URL", raising=False)
    assert command.main(["db", "roles"]) == 1
    assert "PostgreSQL rejected setting up the roles: " in capsys.readouterr().err


def test_a_later_migration_runs_as_the_administrator_and_its_table_gets_its_rights(
    pipeline: Database, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table that it makes anew has lines in roles.sql."""
    later = Migration(
        99, "0099_later.sql", "DROP TABLE logs_fetch_stop; CREATE TABLE logs_fetch_stop (run_id text PRIMARY KEY)"
    )
    known = [*migrate_module.migrations(), later]
    monkeypatch.setattr(migrate_module, "migrations", lambda: known)
    with pytest.raises(SparkAppError, match="PostgreSQL rejected migrating the schema"):
        prepare_database(pipeline, Settings())
    prepare_database(pipeline, Settings(), admin=login("spark_app_owner"))
    prepare_database(pipeline, Settings())
    request_stop(pipeline, "run-00000001")
    forget_stop(pipeline, "run-00000001")


def test_a_database_without_roles_migrates_though_another_one_of_the_server_has_them(
    server_without_roles: Database, administrator: Database
) -> None:
    run(server_without_roles, "CREATE ROLE spark_app_owner")
    assert migrate(administrator)
