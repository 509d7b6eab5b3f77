"""What staging holds is not asked for again; waves and crashes lose nothing."""

from __future__ import annotations

import datetime as dt
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_app import market_calendar
from spark_app.operations.cache import forget, list_cache
from tests.emulator import Holding, YahooEmulator
from tests.integration.fetch_market import ALL_STOCKS, FUNDS, STAGE_1, fetch_market
from tests.integration.fetch_world import (
    RESUME,
    STAGE1,
    STAGE2,
    STAGE4,
    FetchWorld,
    each_once,
    right_prices,
    served_prices,
    waves_of,
)
from tests.integration.world import differences, open_world

BACKFILL = "backfill_etf_benchmarks"
HOURS = dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def filled(home: Path, spark: SparkSession) -> Iterator[FetchWorld]:
    """An installation that has fetched ten sessions of everything; XLK holds a stock that Yahoo does not know."""
    market = fetch_market()
    technology = market.holdings["XLK"]
    market.holdings["XLK"] = technology._replace(holdings=(*technology.holdings, Holding("GONE", "GONE INC", 1.0)))
    with YahooEmulator(market) as emulator, open_world(home, emulator) as world:
        filled = FetchWorld(world, spark)
        reports = [filled.run(stage, days=10) for stage in (STAGE1, STAGE2, STAGE4)]
        assert [report.exit_code for report in reports] == [0, 0, 0], reports
        assert filled.asked() == each_once([*STAGE_1, *ALL_STOCKS]) | {"GONE": 2}
        # Another day confirms that.
        filled.date_back(["GONE"], dt.timedelta(days=1))
        yield filled


@pytest.fixture(autouse=True)
def only_new_requests(request: pytest.FixtureRequest) -> None:
    if "filled" in request.fixturenames:
        request.getfixturevalue("filled").forget_log()


def test_a_session_without_a_trending_sector_notes_what_it_read(fetch_world: FetchWorld) -> None:
    # All funds gain the same amount a day, so those that begin above SPY gain less of it.
    reports = [fetch_world.run(stage, universe="trending") for stage in (STAGE1, STAGE2, STAGE4)]
    assert [report.exit_code for report in reports] == [0, 0, 0], reports
    assert reports[-1].message == "no sector trends over any period: no stock to fetch"
    ((inputs, look_ahead),) = fetch_world.world.query(
        "SELECT inputs, look_ahead_memberships FROM logs_pipeline_run WHERE stage = %s", STAGE4
    )
    assert inputs["staging_versions"].keys() >= {"bars", "holdings"}
    assert (inputs["holdings_dates"], look_ahead) == ({}, 0)


@pytest.mark.parametrize(("stage", "days"), [(STAGE1, 10), (STAGE2, 10), (STAGE4, 10), (STAGE1, 5), (STAGE4, 3)])
def test_a_second_run_or_a_smaller_window_asks_nothing(filled: FetchWorld, stage: str, days: int) -> None:
    report = filled.run(stage, days=days)
    assert (report.exit_code, report.requests, len(filled.world.emulator.log)) == (0, 0, 0)
    assert "cached)" in report.message


def test_a_larger_window_asks_again(filled: FetchWorld) -> None:
    assert filled.run(days=12).exit_code == 0
    assert filled.asked() == each_once(STAGE_1)


def test_refresh_asks_anew(filled: FetchWorld) -> None:
    assert filled.run(STAGE2, refresh=True).exit_code == 0
    assert filled.asked("workbook") == each_once(FUNDS)


@pytest.mark.parametrize(("hours", "cache_hours", "asked"), [(23, 24, 0), (25, 24, 12), (0, 0, 12)])
def test_a_fetch_is_fresh_for_so_many_hours(filled: FetchWorld, hours: int, cache_hours: int, asked: int) -> None:
    later = dt.datetime.now(dt.UTC) + hours * HOURS
    assert filled.run(STAGE2, now=later, settings={"fetch": {"cache_hours": cache_hours}}).exit_code == 0
    assert len(filled.asked("workbook")) == asked


def test_a_fetch_from_before_the_close_is_not_fresh(filled: FetchWorld) -> None:
    now = dt.datetime.now(dt.UTC)
    last = market_calendar.last_completed_session(now)
    coming = market_calendar.sessions_between(last, last + dt.timedelta(days=10))[1]
    evening = market_calendar.close_of(coming) + HOURS
    month = {"fetch": {"cache_hours": 24 * 30}}
    filled.forget_log()
    assert filled.run(STAGE2, last, now=evening, settings=month).exit_code == 0
    assert filled.asked("workbook") == {}
    assert filled.run(STAGE2, coming, now=evening, settings=month).exit_code == 0
    assert filled.asked("workbook") == each_once(FUNDS)


def test_a_forgotten_ticker_is_asked_for_again_and_no_other(filled: FetchWorld) -> None:
    context = filled.world.open(filled.spark, dt.date(2024, 5, 10))
    assert forget(context, list_cache(context), ["XLV"]) == ["XLV"]
    assert filled.run(days=10).exit_code == 0
    assert filled.asked() == {"XLV": 1}
    filled.forget_log()
    assert filled.run(STAGE2).exit_code == 0
    assert filled.asked("workbook") == {"XLV": 1}


def test_a_new_ticker_alone_is_asked_for(fetch_world: FetchWorld) -> None:
    assert fetch_world.run(BACKFILL, tickers=("XLV", "SPY")).exit_code == 0
    fetch_world.forget_log()
    assert fetch_world.run(BACKFILL, tickers=("XLV", "SPY", "XLC")).exit_code == 0
    assert fetch_world.asked() == {"XLC": 1}


def test_waves_report_progress_and_serve_what_one_wave_serves(
    fetch_world: FetchWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "spark_app")
    assert fetch_world.run(settings=waves_of(5)).exit_code == 0
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("wave ")]
    # 21 sessions are served; the one before them gives the first price change.
    shape = r"wave (\d)/3  requests (\d+)/13  rows ([\d,]+)  failed 0  elapsed \d+m\d\ds  ETA \d+m\d\ds"
    found = [re.fullmatch(shape, line) for line in lines]
    assert [match[1] for match in found if match] == ["1", "2", "3"], lines
    assert [int(match[3].replace(",", "")) / int(match[2]) for match in found if match] == [22] * 3
    assert lines[-1].endswith("ETA 0m00s")
    assert fetch_world.asked() == each_once(STAGE_1)
    assert not differences(served_prices(fetch_world), right_prices())


def test_a_wave_whose_job_is_killed_leaves_the_others(fetch_world: FetchWorld) -> None:
    emulator = fetch_world.world.emulator
    emulator.latency_seconds = 0.2

    def kill_after_three_requests() -> None:
        if emulator.log.wait_for("chart", 3):
            kill_newest_job(fetch_world.spark)

    killer = threading.Thread(target=kill_after_three_requests)
    killer.start()
    report = fetch_world.run(settings=waves_of(5))
    killer.join()
    assert report.exit_code in (1, 69), report.message
    emulator.latency_seconds = 0
    landed = set(fetch_world.outcomes())
    assert len(landed) == 5
    fetch_world.forget_log()
    assert fetch_world.run(settings=waves_of(5)).exit_code == 0
    assert fetch_world.asked() == each_once([ticker for ticker in STAGE_1 if ticker not in landed])
    assert not differences(served_prices(fetch_world), right_prices())


def test_an_interrupted_run_ends_what_is_in_flight_and_names_the_command(fetch_world: FetchWorld) -> None:
    emulator, stopping = fetch_world.world.emulator, threading.Event()
    emulator.latency_seconds = 0.3

    def stop_after_two_requests() -> None:
        if emulator.log.wait_for("chart", 2):
            stopping.set()

    stopper = threading.Thread(target=stop_after_two_requests)
    stopper.start()
    report = fetch_world.run(settings=waves_of(5), stopping=stopping)
    stopper.join()
    assert (report.exit_code, report.status) == (130, "interrupted")
    assert report.message.endswith(RESUME)
    asked = fetch_world.asked()
    assert len(asked) < 13
    assert set(fetch_world.outcomes()) == asked.keys()
    emulator.latency_seconds = 0
    fetch_world.forget_log()
    assert fetch_world.run().exit_code == 0
    assert fetch_world.asked() == each_once([ticker for ticker in STAGE_1 if ticker not in asked])


@pytest.mark.parametrize(
    ("stage", "staging_step", "table", "rows"),
    [
        (STAGE1, "spark_app.ingestion.charts.stage_bars", "collected_daily_etf_ohlc", 12 * 21),
        (STAGE2, "spark_app.ingestion.holdings.stage_holdings", "collected_meta_etf", 12 * 3 - 2),
    ],
)
def test_what_was_landed_and_not_staged_is_staged_by_the_next_run(
    fetch_world: FetchWorld, stage: str, staging_step: str, table: str, rows: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging_step, fail_unexpectedly)
        with pytest.raises(MemoryError):
            fetch_world.run(stage)
    assert staged_times(fetch_world) == [None]
    fetch_world.forget_log()
    assert fetch_world.run(stage).exit_code == 0
    assert len(fetch_world.world.emulator.log) == 0
    assert len(fetch_world.world.table(table)) == rows
    assert None not in staged_times(fetch_world)
    ticker = "etf_ticker" if stage == STAGE2 else "ticker"
    fetched_by = fetch_world.world.query(
        f"SELECT DISTINCT logged.run_id FROM {table} AS served LEFT JOIN logs_fetch AS logged"
        f" ON logged.ticker = served.{ticker} AND logged.fetched_at = served.fetched_at"
    )
    assert fetched_by == fetch_world.world.query("SELECT run_id FROM logs_pipeline_run WHERE status = 'failed'")


def fail_unexpectedly(*_: object, **__: object) -> None:
    raise MemoryError


def staged_times(fetch_world: FetchWorld) -> list[dt.datetime | None]:
    return [at for (at,) in fetch_world.world.query("SELECT staged_at FROM logs_pipeline_run")]


def kill_newest_job(spark: SparkSession) -> None:
    context = spark.sparkContext
    newest = max(context.statusTracker().getActiveJobsIds())
    context._jsc.sc().cancelJob(newest)


def test_what_was_fetched_under_a_clock_that_was_ahead_is_not_fresh_for_ever(fetch_world: FetchWorld) -> None:
    assert fetch_world.run().exit_code == 0
    fetch_world.date_back(["XLV"], -dt.timedelta(days=365))
    context = fetch_world.world.open(fetch_world.spark, dt.date(2024, 5, 10))
    assert forget(context, list_cache(context), ["XLV"]) == ["XLV"]
    fetch_world.forget_log()
    report = fetch_world.run()
    assert report.exit_code == 0, report.message
    assert fetch_world.asked() == {"XLV": 1}
