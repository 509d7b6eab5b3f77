"""Rotation between ten industries against a published table: Faber, Relative Strength Strategies for Investing, 2010.

Monthly data are a universe whose sessions are month ends; the price is the compounded return.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_app.backtest import statistics
from spark_app.backtest.engine import Path as ValuePath
from spark_app.backtest.engine import Rules, simulate
from spark_app.backtest.market import read_prices
from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import make_schedule
from spark_app.backtest.signals.compute import Signals, equal_targets, numbered_targets, signals_of
from spark_app.backtest.signals.facts import Facts
from spark_app.spark.bulk import bulk_settings
from spark_app.transforms.rotation import SectorChoice
from spark_app.universe import Universe
from tests.backtest import independent

Cell = tuple[tuple[int, ...], int]
Cells = dict[Cell, float]

LOOKBACKS = (1, 3, 6, 9, 12)
FIRST, LAST = dt.date(1928, 1, 1), dt.date(2009, 12, 31)


def _monthly(file: Path) -> pd.DataFrame:
    """The returns of a file of the library, as fractions, by month end."""
    table = pd.read_csv(file, sep=r"\s+", index_col=0)
    table.index = (pd.to_datetime(table.index.astype(str), format="%Y%m") + pd.offsets.MonthEnd(0)).date
    return table / 100


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    found = shared_data / "market_data" / "french"
    if not found.is_dir():
        pytest.skip(f"no industry portfolios at {found}: Faber's table is not compared")
    return found


@pytest.fixture(scope="module")
def closes(folder: Path) -> pd.DataFrame:
    """The compounded value of each industry and of the market, from 1 at the end of 1926."""
    industries = _monthly(folder / "10_industries_monthly_2013-07.txt")
    factors = _monthly(folder / "factors_monthly_2013-07.txt")
    industries["Mkt"] = factors["Mkt-RF"] + factors["RF"]
    start = pd.DataFrame(1.0, index=[dt.date(1926, 12, 31)], columns=industries.columns)
    return pd.concat([start, (1 + industries).cumprod()])


class Faber:
    """The signals of every cell of the table in one pass of Spark, and the industries' prices."""

    def __init__(self, spark: SparkSession, closes: pd.DataFrame, cells: Cells) -> None:
        funds = [name for name in closes.columns if name != "Mkt"]
        universe = Universe("Mkt", {name: name for name in funds}, {}, sessions="data", periods_a_year=12)
        longest = SectorChoice(basis=12, rank_periods=LOOKBACKS, is_trend_required=False)
        self.plan = Plan(FIRST, LAST, universe, rebalance="monthly", execution="same_close", cost_bps=0, choice=longest)
        self.schedule = make_schedule(self.plan, list(closes.index))
        long = closes.rename_axis("trade_date").reset_index().melt("trade_date", var_name="ticker", value_name="close")
        bars: DataFrame = spark.createDataFrame(long).withColumnRenamed("close", "adj_close_price")
        choices = [SectorChoice(max(periods), periods, n, is_trend_required=False) for periods, n in cells]
        with bulk_settings(spark):
            found = signals_of(choices, self.schedule.rebalances, self.plan, self.schedule, Facts(bars))
        self.signals: dict[Cell, Signals] = dict(zip(cells, found, strict=True))
        self.prices = read_prices(bars, self.schedule.sessions, universe.tickers)

    def path(self, cell: Cell, cost_bps: float = 0) -> ValuePath:
        targets = numbered_targets(self.prices, self.signals[cell].targets)
        return simulate(self.prices, targets, Rules("same_close", cost_bps, periods_a_year=12))


@pytest.fixture(scope="module")
def cells(folder: Path) -> Cells:
    """The published growth of each cell: look-backs and number of industries."""
    table = json.loads((folder / "faber_2010.json").read_text())["relative_strength"]
    return {
        ((int(name),) if name.isdigit() else LOOKBACKS, top_n): cagr
        for name, columns in table.items()
        for top_n, cagr in enumerate(columns["cagr"], start=1)
    }


@pytest.fixture(scope="module")
def faber(spark: SparkSession, closes: pd.DataFrame, cells: Cells) -> Faber:
    return Faber(spark, closes, cells)


def _cagr_percent(path: ValuePath) -> float:
    assert len(path.values) == 82 * 12 + 1
    return statistics.cagr(path.returns, 12) * 100


def test_equal_weight_is_that_of_the_table(faber: Faber, folder: Path) -> None:
    published = json.loads((folder / "faber_2010.json").read_text())["buy_and_hold"]["EqualWeight"]
    funds = list(faber.plan.universe.sectors)
    targets = equal_targets(faber.prices, faber.schedule.rebalances, funds)
    path = simulate(faber.prices, targets, faber.plan.rules)
    assert abs(_cagr_percent(path) - published["cagr"]) <= 0.05
    assert statistics.volatility(path.returns, 12) * 100 == pytest.approx(published["stdev"], abs=0.05)
    fall = statistics.max_drawdown(path.returns, faber.schedule.sessions).fall
    assert fall * 100 == pytest.approx(published["maxdd"], abs=0.1)


def test_the_published_cells_are_reproduced(faber: Faber, cells: Cells) -> None:
    differences = [abs(_cagr_percent(faber.path(cell)) - published) for cell, published in cells.items()]
    assert len(differences) >= 25
    assert median(differences) <= 0.1
    assert max(differences) <= 0.5


def test_every_cell_agrees_with_an_independent_engine(faber: Faber, cells: Cells, closes: pd.DataFrame) -> None:
    months = closes.loc[[day for day in closes.index if dt.date(1927, 12, 31) <= day <= LAST]]
    for rank_periods, top_n in cells:
        targets = _independent_targets(closes, list(months.index), rank_periods, top_n)
        assert faber.signals[rank_periods, top_n].targets == targets
        expected, _ = independent.run(months, None, targets, execution="same_close", cost_bps=10)
        np.testing.assert_allclose(faber.path((rank_periods, top_n), 10).values, expected["value"], rtol=1e-9)


def _independent_targets(
    closes: pd.DataFrame, dates: list[dt.date], rank_periods: tuple[int, ...], top_n: int
) -> dict[dt.date, dict[str, float]]:
    """The industries with the highest mean return in percent with six decimals, in equal parts of eight decimals."""
    industries = closes.drop(columns="Mkt")
    returns = [((industries / industries.shift(n) - 1) * 100).round(6) for n in rank_periods]
    mean = sum(returns[1:], returns[0]).round(6)
    units, rest = divmod(10**8, top_n)
    found = {}
    for date in dates:
        row = mean.loc[date]
        best = sorted(sorted(industries.columns, key=lambda name: (-row[name], name))[:top_n])
        found[date] = {name: (units + (n < rest)) / 10**8 for n, name in enumerate(best)}
    return found
