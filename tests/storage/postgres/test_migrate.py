"""Schema migrations: applied once, in order, and not to a database of other code."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from spark_app.errors import SettingsError
from spark_app.schemas import (
    BACKTEST_TABLES,
    BENCHMARK_OHLC,
    ETF_HOLDINGS,
    ETF_OHLC,
    PORTFOLIO_ALLOCATION,
    PORTFOLIO_EXCLUSION,
    STOCK_HISTORY,
    TRENDING_SECTORS,
    ServedTable,
)
from spark_app.storage.postgres import migrate as migrate_module
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.migrate import migrate, migrations
from tests.storage.postgres.logins import login_as

SERVED = [
    ETF_OHLC,
    BENCHMARK_OHLC,
    ETF_HOLDINGS,
    STOCK_HISTORY,
    TRENDING_SECTORS,
    PORTFOLIO_ALLOCATION,
    PORTFOLIO_EXCLUSION,
    *BACKTEST_TABLES,
]


def test_an_empty_database_gets_every_migration_and_then_none(empty_database: Database) -> None:
    assert migrate(empty_database) == [
        "0001_served_tables.sql",
        "0002_logs.sql",
        "0003_throttle.sql",
        "0004_staged_runs.sql",
        "0005_topic_outbox.sql",
        "0006_changes_without_run_log.sql",
        "0007_max_weight_exceeded.sql",
        "0008_portfolio_turnover.sql",
        "0009_provenance.sql",
        "0010_backtest.sql",
        "0011_backtest_ledger.sql",
        "0012_files_origin.sql",
        "0013_publications.sql",
        "0014_portfolio_runs.sql",
    ]
    assert migrate(empty_database) == []


def test_a_database_of_0_3_0_keeps_its_rows_and_its_readers_read_what_is_new(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(migrate_module, "migrations", lambda: migrations()[:8])
        assert len(migrate(empty_database)) == 8
    columns = (
        "as_of_date, ticker, sector, market_cap, market_cap_basis, is_trending_5d, is_trending_10d, is_trending_20d"
    )
    with empty_database.connect() as connection:
        # As `db roles` left it.
        connection.execute("ALTER TABLE schema_migrations OWNER TO spark_app_owner")
        connection.execute(
            f"INSERT INTO analytics_portfolio_allocation ({columns}, portfolio_weight, allocation_reason, run_id)"
            " SELECT '2023-06-30', basis, 'Energy', 1, basis, true, true, true, 0.5, 'x', 'run'"
            " FROM (VALUES ('quoted'), ('later_quote')) AS given (basis)".encode()
        )
        connection.execute(
            "INSERT INTO logs_pipeline_run (run_id, stage, as_of_date, status, parameters, started_at)"
            " VALUES ('run', 'stage5_portfolio_allocation', '2023-06-30', 'ok', '{}', now())"
        )
    assert migrate(empty_database)[:2] == ["0009_provenance.sql", "0010_backtest.sql"]
    with empty_database.connect() as connection:
        positions = connection.execute(
            "SELECT ticker, holdings_date, quote_date, is_look_ahead FROM analytics_portfolio_allocation ORDER BY 1"
        ).fetchall()
        runs = connection.execute("SELECT settings, inputs, code_version FROM logs_pipeline_run").fetchall()
        rights = connection.execute(
            "SELECT has_table_privilege('spark_app_reader', name, 'SELECT'),"
            " has_table_privilege('spark_app_pipeline', name, 'INSERT'), has_table_privilege('public', name, 'SELECT')"
            " FROM unnest(ARRAY['logs_fetch', 'logs_price_restatement']) AS name"
        ).fetchall()
    assert positions == [("later_quote", None, None, True), ("quoted", None, None, False)]
    assert runs == [({}, {}, None)]
    assert rights == [(True, True, False)] * 2


def test_migrations_started_together_are_applied_once(empty_database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda _: migrate(empty_database), range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, 14]


def test_an_altered_migration_is_an_error(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("UPDATE schema_migrations SET checksum = 'other' WHERE version = 1")
    with pytest.raises(SettingsError, match="0001_served_tables.sql was altered"):
        migrate(database)


def test_a_database_of_newer_code_is_an_error(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("INSERT INTO schema_migrations (version, name, checksum) VALUES (99, 'later', 'x')")
    with pytest.raises(SettingsError, match="migration 99"):
        migrate(database)
    # Who may not migrate is told to use newer code, too, and not to get more rights.
    with login_as(database, "spark_app_pipeline") as pipeline, pytest.raises(SettingsError, match="migration 99"):
        migrate(pipeline)


@pytest.mark.parametrize("table", SERVED, ids=lambda table: table.name)
def test_tables_and_schemas_have_the_same_columns_and_keys(database: Database, table: ServedTable) -> None:
    with database.connect() as connection:
        columns = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s",
            (table.name,),
        ).fetchall()
        key = connection.execute(
            "SELECT a.attname FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)"
            " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum"
            " WHERE i.indrelid = %s::regclass AND i.indisprimary ORDER BY k.place",
            (table.name,),
        ).fetchall()
    assert {name for (name,) in columns} == set(table.schema.fieldNames())
    assert tuple(name for (name,) in key) == table.key


def test_tables_in_another_schema_are_not_made_a_second_time(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("ALTER SCHEMA public RENAME TO market; CREATE SCHEMA public")
        with pytest.raises(SettingsError, match="^the tables of this database are in the schema market: move each to"):
            migrate(database)
        connection.execute("DROP SCHEMA public; ALTER SCHEMA market RENAME TO public")
    assert migrate(database) == []
