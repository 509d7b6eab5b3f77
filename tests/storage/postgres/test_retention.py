"""The right to remove rows, checked before retention begins, and which rows expire together."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from spark_app.config.settings import DatabaseSettings, load_settings
from spark_app.errors import SettingsError
from spark_app.schemas import BACKTEST_TABLES, SERVED_TABLES
from spark_app.storage.postgres import retention as retention_sql
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.retention import measure, old_analytics, old_runs, remove, require_rights
from tests.storage.postgres.logins import login_as, url_of

NOW = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
OLD, SERVED, NEW = "2024-01-02 21:05+00", "2024-01-03 21:05+00", "2024-05-31 21:05+00"
FETCHES = [
    *[("chart", fetched_at, "2024-01-02") for fetched_at in (OLD, SERVED, NEW)],
    *[("holdings", fetched_at, "2024-01-02") for fetched_at in (OLD, SERVED)],
    *[("quote", fetched_at, fetched_at[:10]) for fetched_at in (OLD, SERVED)],
]

_ROWS = """
INSERT INTO analytics_backtest_run VALUES ('{id}', '{day}', '2020-01-02', '2020-12-31', true, '{{}}', 'run');
INSERT INTO analytics_backtest_summary (backtest_id, series, final_value, run_id) VALUES ('{id}', 'strategy', 1, 'run');
INSERT INTO analytics_backtest_equity VALUES ('{id}', 'strategy', '2020-01-02', 1, 0, 'run');
INSERT INTO analytics_backtest_rebalance VALUES ('{id}', 'strategy', '2020-01-02', '2020-01-03', 1, 0, 'run');
INSERT INTO analytics_backtest_position VALUES ('{id}', '2020-01-02', 'XLK', 1, 'run');
INSERT INTO analytics_backtest_ledger VALUES ('{id}', 'holdings', 0, 0, 0, 0, 0, 'run');
"""

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")


def check(database: Database, admin: Database | None = None, **keep: object) -> None:
    named = DatabaseSettings(
        url=SecretStr(url_of(database)), admin_url=SecretStr(url_of(admin)) if admin is not None else None
    )
    require_rights(load_settings(overrides={"retention": keep}), named)


def test_whoever_may_remove_rows_passes_and_so_does_an_administrator_beside_the_pipeline(database: Database) -> None:
    with login_as(database, "spark_app_retention") as retention, login_as(database, "spark_app_pipeline") as pipeline:
        check(retention)
        check(pipeline, admin=retention)
        with pytest.raises(SettingsError, match=f"user {pipeline.parameters['user']} may not remove rows of"):
            check(pipeline)


def test_only_tables_count_that_are_not_kept_for_ever(database: Database) -> None:
    with login_as(database, "spark_app_pipeline") as pipeline:
        with pytest.raises(
            SettingsError, match="may not remove rows of logs_consumer_error: name a member of spark_app_retention in"
        ):
            check(pipeline, price_history_days="keep")
        check(pipeline, price_history_days="keep", consumer_errors_days="keep")
    with login_as(database, "spark_app_retention") as retention:
        # What that role may not do either is for the owner of the tables.
        owner = ": name a member of spark_app_owner in DATABASE_ADMIN_URL"
        with pytest.raises(SettingsError, match=f"of logs_pipeline_run, logs_price_restatement, logs_fetch{owner}"):
            check(retention, run_log_days=100)
        with pytest.raises(SettingsError, match=f"of analytics_trending_sectors, analytics_portfolio_.*{owner}"):
            check(retention, analytics_days=100)
    with login_as(database, "spark_app_owner") as named:
        check(named, run_log_days=100, analytics_days=100)


def test_without_the_role_the_owner_of_the_tables_is_named(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention_sql, "_ROLE", "test_of_no_such_role")
    named = ": name a member of spark_app_owner in DATABASE_ADMIN_URL"
    with login_as(database, "spark_app_pipeline") as pipeline, pytest.raises(SettingsError, match=named):
        check(pipeline)


def test_what_does_not_exist_yet_needs_no_right(empty_database: Database) -> None:
    with empty_database.connect() as connection:
        connection.execute("CREATE ROLE test_of_no_table LOGIN PASSWORD 'x'")
    try:
        check(Database({**empty_database.parameters, "user": "test_of_no_table"}, "x"))
    finally:
        with empty_database.connect() as connection:
            connection.execute("DROP ROLE test_of_no_table")


def test_the_embedded_server_has_one_user_who_may_do_everything() -> None:
    require_rights(load_settings(), DatabaseSettings())


def fill(database: Database) -> None:
    """Seven fetches of XLK: a served bar has one of the charts, a position the quote of its date."""
    with database.connect() as connection:
        for fetch in FETCHES:
            connection.execute(
                "INSERT INTO logs_fetch (ticker, run_id, outcome, kind, fetched_at, first_date)"
                " VALUES ('XLK', 'r', 'ok', %s, %s, %s)",
                fetch,
            )
        connection.execute(
            "INSERT INTO collected_daily_etf_ohlc VALUES ('XLK', '2024-01-02', 1, 1, 1, 1, 1, 1, 0, 1, NULL, %s, 'r')",
            (SERVED,),
        )
        connection.execute(
            "INSERT INTO analytics_portfolio_allocation (as_of_date, ticker, sector, market_cap, market_cap_basis,"
            " is_trending_5d, is_trending_10d, is_trending_20d, portfolio_weight, allocation_reason, run_id,"
            " quote_date) VALUES ('2024-01-03', 'XLK', 'x', 1, 'quoted', true, true, true, 1, 'x', 'r', '2024-01-03')"
        )
        for run_id, noticed_at in (("first", OLD), ("later", NEW)):
            connection.execute(
                "INSERT INTO logs_price_restatement VALUES"
                " ('XLK', %s, 'stage1', 'split', 2, 1, '2024-01-02', '2024-01-02', %s)",
                (run_id, noticed_at),
            )


def test_old_fetches_go_but_those_that_brought_served_rows(database: Database) -> None:
    fill(database)
    old = old_runs(NOW - dt.timedelta(days=30))
    counted = {cut.table: cut.rows for cut in (measure(database, rows) for rows in old)}
    for expired in old:
        remove(database, expired)
    with database.connect() as connection:
        left = connection.execute("SELECT kind, fetched_at::date::text FROM logs_fetch ORDER BY 1, 2").fetchall()
        restated = connection.execute("SELECT run_id FROM logs_price_restatement").fetchall()
    assert left == [("chart", "2024-01-03"), ("chart", "2024-05-31"), ("quote", "2024-01-03")]
    assert restated == [("later",)]
    assert counted == {"logs_pipeline_run": 0, "logs_price_restatement": 1, "logs_fetch": 4}


RUNS = {
    "of a bar": ("stage1", {}),
    "of a backtest": ("backtest", {}),
    "of XLE": ("staggered", {"tickers": ["XLE"]}),
    "of XLF": ("staggered", {"tickers": ["XLF"]}),
    "of XLF again": ("staggered", {"tickers": ["XLF"]}),
    "of nothing": ("stage1", {}),
    "newest": ("stage1", {}),
    "newest backtest": ("backtest", {}),
}
"""Good runs for one date: name -> stage, parameters; each began an hour after the one before."""


def test_runs_of_served_rows_stay_and_the_last_good_one_of_each_stage_date_and_parameters(database: Database) -> None:
    began = dt.datetime(2024, 1, 2, tzinfo=dt.UTC)
    with database.connect() as connection:
        for hours, (run_id, (stage, parameters)) in enumerate(RUNS.items()):
            connection.execute(
                "INSERT INTO logs_pipeline_run (run_id, stage, as_of_date, status, parameters, started_at)"
                " VALUES (%s, %s, '2024-01-02', 'ok', %s, %s)",
                (run_id, stage, Jsonb(parameters), began + dt.timedelta(hours=hours)),
            )
        connection.execute(
            "INSERT INTO collected_daily_etf_ohlc"
            " VALUES ('XLK', '2024-01-02', 1, 1, 1, 1, 1, 1, 0, 1, NULL, '2024-01-02 21:05+00', 'of a bar')"
        )
        connection.execute(
            "INSERT INTO analytics_backtest_run"
            " VALUES ('id', '2024-01-02', '2020-01-02', '2020-12-31', true, '{}', 'of a backtest')"
        )
    (runs, *_) = old_runs(NOW)
    counted = measure(database, runs).rows
    remove(database, runs)
    with database.connect() as connection:
        left = {run_id for (run_id,) in connection.execute("SELECT run_id FROM logs_pipeline_run").fetchall()}
    assert RUNS.keys() - left == {"of XLF", "of nothing"}
    assert counted == 2


def test_the_runs_of_every_served_table_stay() -> None:
    (runs, *_) = old_runs(NOW)
    assert {table.name for table in (*SERVED_TABLES, *BACKTEST_TABLES)} <= set(
        re.findall(r"FROM (\w+)", runs.condition)
    )


def test_the_run_stays_by_which_a_date_without_any_position_has_a_portfolio(database: Database) -> None:
    with database.connect() as connection:
        for run_id, started, dates in (
            ("range", OLD, ["2023-12-28", "2023-12-29"]),
            ("replaced", OLD, ["2023-12-29"]),
            ("again", NEW, ["2023-12-29"]),
        ):
            connection.execute(
                "INSERT INTO logs_pipeline_run (run_id, stage, as_of_date, status, parameters, started_at, finished_at,"
                " inputs, staged_at) VALUES (%s, 'republish', '2023-12-29', 'ok', '{}', %s, %s,"
                " jsonb_build_object('portfolio_dates', %s::text[]), %s)",
                (run_id, started, started, dates, started),
            )
    remove(database, old_runs(NOW - dt.timedelta(days=30))[0])
    with database.connect() as connection:
        left = connection.execute("SELECT run_id FROM logs_pipeline_run ORDER BY run_id").fetchall()
        known = connection.execute("SELECT as_of_date::text FROM analytics_portfolio_turnover ORDER BY 1").fetchall()
    assert left == [("again",), ("range",)]
    assert known == [("2023-12-28",), ("2023-12-29",)]


def test_a_backtest_goes_as_a_whole_when_it_was_computed_long_ago(database: Database) -> None:
    with database.connect() as connection:
        connection.execute(
            (_ROWS.format(id="old", day="2025-01-02") + _ROWS.format(id="new", day="2026-01-02")).encode()
        )
    for old in old_analytics(dt.date(2026, 1, 1)):
        remove(database, old)
    with database.connect() as connection:
        for table in BACKTEST_TABLES:
            left = connection.execute(f"SELECT backtest_id FROM {table.name}".encode()).fetchall()
            assert left == [("new",)], table.name
