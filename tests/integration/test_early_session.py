"""A session at which most funds did not exist: what did is served, and of the others it is said since when they are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_app.pipeline.result import StageReport
from tests.declared import STAGES
from tests.emulator import Market, YahooEmulator
from tests.integration.fetch_market import ALL_STOCKS, FUNDS, STAGE_1, _bar, _quote, _snapshot
from tests.integration.world import World, open_world

AS_OF = dt.date(1999, 1, 4)
FIRST = {
    **dict.fromkeys(STAGE_1, dt.date(1998, 12, 22)),
    "SPY": dt.date(1993, 1, 29),
    "QQQ": dt.date(1999, 3, 10),
    "XLRE": dt.date(2015, 10, 8),
    "XLC": dt.date(2018, 6, 19),
}
HOLIDAYS = {dt.date(1998, 11, 26), dt.date(1998, 12, 25), dt.date(1999, 1, 1)}
_DAYS = (dt.date(1998, 10, 12) + dt.timedelta(days=n) for n in range(87))
WINTER = [day for day in _DAYS if day.weekday() < 5 and day not in HOLIDAYS]
"""The sessions from 1998-10-12 to 1999-01-06."""
LISTED = [fund for fund in FUNDS if FIRST[fund] <= AS_OF]


def market() -> Market:
    """SPY falls by a quarter a session, and the k-th fund rises by k; the funds of later trade today."""
    days = [*WINTER, *(dt.date(2024, 5, day) for day in (8, 9, 10))]
    closes = {"SPY": [100 - n / 4 for n in range(len(days))]}
    closes |= {fund: [50.0 + k * n for n in range(len(days))] for k, fund in enumerate(STAGE_1, 1) if fund != "SPY"}
    bars = {
        fund: [_bar(day, close) for day, close in zip(days, prices, strict=True) if day >= FIRST[fund]]
        for fund, prices in closes.items()
    }
    # Of three stocks of a fund one is old enough.
    for stock in ALL_STOCKS:
        bars[stock] = [_bar(day, 10.0) for day in days if stock[-1] == "A" or day.year > 1999]
    return Market(
        bars=bars,
        holdings={fund: _snapshot(fund) for fund in FUNDS},
        quotes={stock: _quote(k) for k, stock in enumerate(ALL_STOCKS, start=1)},
    )


@pytest.fixture(scope="module")
def world(open_folder: Path) -> Iterator[World]:
    with YahooEmulator(market()) as emulator, open_world(open_folder / "early", emulator) as world:
        yield world


@pytest.fixture(scope="module")
def reports(world: World, spark: SparkSession) -> dict[str, StageReport]:
    return world.run(spark, AS_OF)


def test_funds_are_served_from_their_first_session_on(reports: dict[str, StageReport], world: World) -> None:
    report = reports["stage1_etf_ohlc"]
    later = "XLRE (since 2015-10-08), XLC (since 2018-06-19), QQQ (since 1999-03-10)"
    assert (report.exit_code, report.message) == (0, f"13 of 13 funds answered, not listed yet: {later}")
    served = world.query("SELECT ticker, count(*), min(trade_date) FROM collected_daily_etf_ohlc GROUP BY ticker")
    # From Christmas on there are eight sessions; the 21st before 1999-01-04 is 1998-12-03.
    expected = {fund: (8, dt.date(1998, 12, 22)) for fund in LISTED} | {"SPY": (21, dt.date(1998, 12, 3))}
    assert {ticker: (rows, first) for ticker, rows, first in served} == expected
    assert world.query("SELECT count(*) FROM collected_daily_benchmark_ohlc") == [(21,)]


def test_each_sector_that_has_no_return_says_since_when_its_fund_is_listed(
    reports: dict[str, StageReport], world: World
) -> None:
    report = reports["stage3_trending_sectors"]
    sectors = "XLB, XLE, XLF, XLI, XLK, XLP, XLU, XLV, XLY"
    assert (report.exit_code, report.message) == (
        0,
        f"of 11 sectors 9 trend over 5 sessions ({sectors}), 0 trend over 10 sessions, 0 trend over 20 sessions;"
        " 24 returns unavailable; not listed yet: XLRE (since 2015-10-08), XLC (since 2018-06-19)",
    )
    rows = world.query("SELECT etf_ticker, period_days, return_pct, unavailable_reason FROM analytics_trending_sectors")
    assert len(rows) == 33
    for fund, sessions, percent, reason in rows:
        is_known = FIRST[fund] <= AS_OF and sessions == 5
        assert (percent is not None, reason) == (is_known, None if is_known else f"listed since {FIRST[fund]}")


def test_the_pipeline_ends_well_with_a_portfolio_of_nothing(reports: dict[str, StageReport], world: World) -> None:
    assert {stage: report.exit_code for stage, report in reports.items()} == dict.fromkeys(STAGES, 0)
    later = "look-ahead: holdings of 2024-04-30 used for 1999-01-04"
    message = f"0 trend over 20 sessions, 0 positions, 0 excluded, {later}"
    assert reports["stage5_portfolio_allocation"].message == message
    assert world.query("SELECT count(*) FROM analytics_portfolio_allocation") == [(0,)]
