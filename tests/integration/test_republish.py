"""Served tables rebuilt from staging, and what was known at an earlier time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from spark_app.errors import DataIncompleteError, UsageError
from spark_app.pipeline.execution import run_stage
from spark_app.pipeline.run import Run
from tests.declared import DECLARED, STAGES
from tests.emulator import YahooEmulator
from tests.integration.expected import Rows
from tests.integration.fetch_market import AS_OF, LAST_DAY, MORNING_AFTER, NEXT_DAY, NEXT_MORNING, fetch_market
from tests.integration.world import KEYS, World, differences, open_world, without_text

PAST = dt.date(2024, 1, 5)


@pytest.fixture(scope="module")
def world(home: Path) -> Iterator[World]:
    with YahooEmulator(fetch_market()) as emulator, open_world(home, emulator) as opened:
        yield opened


@pytest.fixture(scope="module")
def served(world: World, spark: SparkSession) -> dict[str, Rows]:
    """What two runs on two sessions served; the funds hold the same on both."""
    without_holdings = [stage for stage in STAGES if stage != "stage2_etf_holdings"]
    for as_of, now, stages in ((AS_OF, MORNING_AFTER, STAGES), (NEXT_DAY, NEXT_MORNING, without_holdings)):
        reports = world.run(spark, as_of, stages=stages, now=now, universe="all")
        assert {report.exit_code for report in reports.values()} == {0}, reports
    return world.tables()


def republish(world: World, spark: SparkSession, *dates: dt.date, **options: object) -> int:
    given = {"now": NEXT_MORNING, "universe": "all", "as_of_dates": dates} | options
    return world.run(spark, dates[-1], stages=["republish"], **given)["republish"].exit_code  # type: ignore[arg-type]


def compared(rows: dict[str, Rows]) -> dict[str, Rows]:
    return {name: without_text(table) for name, table in rows.items()}


def test_a_wiped_database_comes_back_in_one_pass(served: dict[str, Rows], world: World, spark: SparkSession) -> None:
    world.emulator.log.clear()
    fetches = world.query("SELECT * FROM logs_fetch ORDER BY ticker, kind, fetched_at")
    with world.owner.connect() as connection:
        connection.execute(f"TRUNCATE {', '.join(KEYS)}, logs_fetch".encode())
    assert republish(world, spark, AS_OF, NEXT_DAY) == 0
    before, after = compared(served), compared(world.tables())
    assert {name: differences(after[name], before[name]) for name in KEYS} == {name: [] for name in KEYS}
    assert len(world.emulator.log) == 0
    assert world.query("SELECT * FROM logs_fetch ORDER BY ticker, kind, fetched_at") == fetches
    columns = "inputs, look_ahead_memberships, look_ahead_quotes"
    of_run = f"SELECT {columns} FROM logs_pipeline_run WHERE stage = %s ORDER BY started_at DESC LIMIT 1"
    ((inputs, *counts),) = world.query(of_run, "republish")
    ((of_last_date, _, _),) = world.query(of_run, STAGES[-1])
    assert inputs["holdings_dates"] == of_last_date["holdings_dates"]
    assert inputs["portfolio_dates"] == [str(AS_OF), str(NEXT_DAY)]
    look_ahead = "holdings_date > as_of_date FROM analytics_portfolio"
    ((memberships, quotes),) = world.query(
        f"SELECT (SELECT count(*) FROM (SELECT {look_ahead}_allocation UNION ALL SELECT {look_ahead}_exclusion)"
        " AS decided (is_later) WHERE is_later), count(*) FILTER (WHERE market_cap_basis = 'later_quote')"
        " FROM analytics_portfolio_allocation"
    )
    assert counts == [memberships, quotes]


def test_one_table_of_one_session_is_mended(served: dict[str, Rows], world: World, spark: SparkSession) -> None:
    with world.owner.connect() as connection:
        connection.execute("UPDATE analytics_trending_sectors SET return_pct = 99 WHERE etf_ticker = 'XLK'")
        connection.execute("UPDATE collected_daily_etf_ohlc SET volume = 99 WHERE ticker = 'XLK'")
    assert republish(world, spark, NEXT_DAY, tables=("analytics_trending_sectors",)) == 0
    wrong = world.query("SELECT DISTINCT as_of_date FROM analytics_trending_sectors WHERE return_pct = 99")
    assert wrong == [(AS_OF,)]
    assert republish(world, spark, AS_OF, NEXT_DAY) == 0
    assert not differences(*(without_text(t["collected_daily_etf_ohlc"]) for t in (world.tables(), served)))


def test_sessions_without_bars_are_no_answer(served: dict[str, Rows], world: World, spark: SparkSession) -> None:
    report = world.run(spark, PAST, stages=["republish"], now=NEXT_MORNING)["republish"]
    assert (report.exit_code, report.message) == (
        DataIncompleteError.exit_code,
        f"no bars for SPY from {PAST} to {PAST}",
    )


def test_what_was_known_before_a_correction_can_be_shown(
    served: dict[str, Rows], world: World, spark: SparkSession
) -> None:
    before = dt.datetime.now(dt.UTC)
    bars = world.emulator.market.bars
    bars["XLK"] = tuple(
        b._replace(adj_close=b.adj_close * 1.1) if b.trade_date == NEXT_DAY and b.adj_close else b for b in bars["XLK"]
    )
    key = (NEXT_DAY, "XLK", 20)
    old = served["analytics_trending_sectors"][key]["return_pct"]
    stages = ["stage1_etf_ohlc", "stage3_trending_sectors"]
    world.run(spark, NEXT_DAY, stages=stages, now=NEXT_MORNING)
    corrected = world.table("analytics_trending_sectors")[key]["return_pct"]
    assert round((1 + corrected / 100) / (1 + old / 100), 6) == Decimal("1.1")
    for stage in (stages[1], "republish"):
        run = world.open(spark, NEXT_DAY, now=NEXT_MORNING, known_at=before, tables=("analytics_trending_sectors",))
        assert run_stage(run, DECLARED[stage]).exit_code == 0
        told = {(d["ticker"], d["column"], *d["key"].values()): (d["old"], d["new"]) for d in _differences(run)}
        assert told["XLK", "return_pct", *key] == (corrected, old)
    assert world.table("analytics_trending_sectors")[key]["return_pct"] == corrected


def _differences(run: Run) -> list[dict[str, Any]]:
    return run.summary.findings["differences"]


def test_a_time_before_the_kept_history_is_refused(served: dict[str, Rows], world: World, spark: SparkSession) -> None:
    with pytest.raises(
        UsageError, match=r"--known-at 2020-01-01 00:00 UTC: nothing was known then, what is kept begins"
    ):
        world.open(spark, LAST_DAY, known_at=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
