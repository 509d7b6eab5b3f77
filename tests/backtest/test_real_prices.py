"""The sector funds from 2016 to 2023 on real prices: signals, weights, trades and values against pandas."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from spark_app import market_calendar
from spark_app.backtest.market import read_coverage, require_prices
from spark_app.backtest.outcome import BENCHMARK, EQUAL_WEIGHT, STRATEGY, Outcome, summarise, work_out
from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import calendar_sessions, make_schedule
from spark_app.backtest.signals.compute import signals
from spark_app.backtest.signals.facts import Facts
from spark_app.transforms.rotation import SectorChoice
from spark_app.universe import DEFAULT_UNIVERSE
from tests.backtest import independent
from tests.backtest.markets import real_funds

PLAN = Plan(
    dt.date(2016, 1, 4), dt.date(2023, 12, 29), rebalance="weekly", choice=SectorChoice(20, (20,), 3), cost_bps=10
)
FUNDS = sorted(DEFAULT_UNIVERSE.sectors)


@pytest.fixture(scope="module")
def prices(shared_data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Adjusted closes and opens of SPY and the funds, by session."""
    bars = real_funds(shared_data)
    closes, opens = (bars.pivot(index="trade_date", columns="ticker", values=n) for n in ("adj_close", "adj_open"))
    return closes, opens


@pytest.fixture(scope="module")
def outcome(spark: SparkSession, shared_data: Path) -> Outcome:
    bars = spark.read.parquet(str(shared_data / "market_data" / "etf_daily.parquet")).selectExpr(
        "ticker",
        "cast(trade_date as date) as trade_date",
        "open as open_price",
        "close as close_price",
        "adj_close as adj_close_price",
    )
    bars = bars.where("ticker <> 'QQQ'").localCheckpoint()
    schedule = make_schedule(PLAN, calendar_sessions(PLAN))
    require_prices(PLAN, schedule, read_coverage(bars, DEFAULT_UNIVERSE.tickers), "real")
    return work_out(PLAN, schedule, bars, signals(PLAN, schedule, Facts(bars)))


def _targets(closes: pd.DataFrame, sessions: list[dt.date]) -> dict[dt.date, dict[str, float]]:
    percent = ((closes / closes.shift(20) - 1) * 100).round(6)
    following = [*sessions[1:], dt.date(2024, 1, 2)]
    found = {}
    for place, (day, after) in enumerate(zip(sessions, following, strict=True)):
        if place == 0 or day.isocalendar()[:2] != after.isocalendar()[:2]:
            row = percent.loc[day]
            trending = [fund for fund in FUNDS if row[fund] > row["SPY"] and row[fund] > 0]
            best = sorted(sorted(trending, key=lambda fund: (-row[fund], fund))[:3])
            units, rest = divmod(10**8, max(len(best), 1))
            found[day] = {fund: (units + (n < rest)) / 10**8 for n, fund in enumerate(best)}
    return found


def test_every_session_agrees_with_an_independent_engine(
    outcome: Outcome, prices: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    closes, opens = prices
    sessions = market_calendar.sessions_between(dt.date(2015, 12, 31), PLAN.last)
    assert list(outcome.schedule.sessions) == sessions
    targets = _targets(closes, sessions)
    assert outcome.signals.targets == targets

    alive = {day: [fund for fund in FUNDS if pd.notna(closes[fund].loc[day])] for day in targets}
    equal = {}
    for day, funds in alive.items():
        units, rest = divmod(10**8, len(funds))
        equal[day] = {fund: (units + (n < rest)) / 10**8 for n, fund in enumerate(funds)}
    assert {len(weights) for weights in equal.values()} == {10, 11}  # XLC begins on 2018-06-19.

    wanted = {STRATEGY: targets, EQUAL_WEIGHT: equal, BENCHMARK: {day: {"SPY": 1.0} for day in targets}}
    tickers = list(outcome.prices.tickers)
    for series, of_series in wanted.items():
        path = outcome.paths[series]
        by_date, trades = independent.run(
            closes.loc[sessions], opens.loc[sessions], of_series, execution="next_open", cost_bps=10
        )
        np.testing.assert_allclose(path.values, by_date["value"], rtol=1e-9)
        np.testing.assert_allclose(path.weights, by_date[tickers], atol=1e-9)
        np.testing.assert_allclose([trade.turnover for trade in path.trades], trades["turnover"], atol=1e-9)
        np.testing.assert_allclose([trade.cost for trade in path.trades], trades["cost"], atol=1e-9)


def test_the_benchmark_is_what_its_own_prices_say(outcome: Outcome, prices: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    closes, opens = prices
    spy = next(summary for summary in summarise(outcome) if summary.series == BENCHMARK)
    bought, last = opens["SPY"].loc[dt.date(2016, 1, 4)], closes["SPY"].loc[dt.date(2023, 12, 29)]
    assert spy.final_value == pytest.approx(0.999 * last / bought, rel=1e-9)
    assert spy.beta == pytest.approx(1)
