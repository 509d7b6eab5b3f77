"""Momentum of twelve industries, on the data that linearmodels ships: so every run of the tests has a known answer.

Long the three industries with the best return of one month, short the three with the worst, held for the next month:
strong in the sample of Moskowitz and Grinblatt (Do Industries Explain Momentum?, 1999), gone in the years after it.
"""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
from linearmodels.datasets import french
from pyspark.sql import SparkSession

from spark_app.backtest.engine import Rules, simulate
from spark_app.backtest.market import read_prices
from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import make_schedule
from spark_app.backtest.signals.compute import numbered_targets, signals_of
from spark_app.backtest.signals.facts import Facts
from spark_app.transforms.rotation import SectorChoice
from spark_app.universe import Universe

TOP = 3
FIRST, LAST = dt.date(1949, 2, 1), dt.date(2017, 3, 31)


@pytest.fixture(scope="module")
def returns() -> pd.DataFrame:
    """Monthly returns of the industries and of the market, as fractions, by month end."""
    table: pd.DataFrame = french.load().set_index("dates")
    table.index = (pd.to_datetime(table.index) + pd.offsets.MonthEnd(0)).date
    return table.loc[:, "NoDur":"Other"].assign(Mkt=table["MktRF"] + table["RF"])


@pytest.fixture(scope="module")
def winners_minus_losers(spark: SparkSession, returns: pd.DataFrame) -> pd.Series:
    """By our transforms and engine: the best three, minus a long run of those that are not among the best nine."""
    start = pd.DataFrame(1.0, [dt.date(1948, 12, 31)], returns.columns)
    closes = pd.concat([start, (1 + returns).cumprod()])
    funds = [name for name in closes.columns if name != "Mkt"]
    universe = Universe("Mkt", {name: name for name in funds}, {}, sessions="data", periods_a_year=12)
    best, worst = (SectorChoice(1, (1,), n, is_trend_required=False) for n in (TOP, len(funds) - TOP))
    plan = Plan(FIRST, LAST, universe, execution="same_close", cost_bps=0, choice=best)
    schedule = make_schedule(plan, list(closes.index))
    long = closes.rename_axis("trade_date").reset_index().melt("trade_date", var_name="ticker", value_name="close")
    bars = spark.createDataFrame(long).withColumnRenamed("close", "adj_close_price")
    winners, others = signals_of([best, worst], schedule.rebalances, plan, schedule, Facts(bars))
    losers = {
        date: dict.fromkeys([fund for fund in funds if fund not in weights], round(1 / TOP, 8))
        for date, weights in others.targets.items()
    }
    prices = read_prices(bars, schedule.sessions, universe.tickers)
    of_winners, of_losers = (
        simulate(prices, numbered_targets(prices, targets), Rules("same_close", periods_a_year=12)).returns
        for targets in (winners.targets, losers)
    )
    return pd.Series(of_winners - of_losers, schedule.sessions[1:])


@pytest.mark.parametrize(
    ("first", "last", "months", "mean_percent", "t", "digits"),
    [
        (dt.date(1963, 7, 1), dt.date(1995, 7, 31), 385, 0.91, 6.1, 1),
        (dt.date(1995, 8, 1), dt.date(2017, 3, 31), 260, 0.04, 0.15, 2),
    ],
)
def test_the_momentum_of_industries_was_strong_and_is_gone(
    winners_minus_losers: pd.Series,
    first: dt.date,
    last: dt.date,
    months: int,
    mean_percent: float,
    t: float,
    digits: int,
) -> None:
    held = winners_minus_losers[first:last]
    assert len(held) == months
    assert round(held.mean() * 100, 2) == mean_percent
    assert round(held.mean() / held.std() * math.sqrt(months), digits) == t


def test_every_month_is_that_of_pandas(returns: pd.DataFrame, winners_minus_losers: pd.Series) -> None:
    industries = returns.drop(columns="Mkt")
    expected = []
    for before, date in zip(returns.index, returns.index[1:], strict=False):
        past = (industries.loc[before] * 100).round(6)
        ranked = sorted(industries.columns, key=lambda name: (-past[name], name))
        month = industries.loc[date]
        expected.append(month[ranked[:TOP]].mean() - month[ranked[-TOP:]].mean())
    np.testing.assert_allclose(winners_minus_losers, expected, atol=1e-8)
