"""The market data beside the project as the user's own files: import, the five stages and republish, against pandas.

Closes in the files stand on the basis of 2024. Those that are staged must not contain the splits after the last bar,
such as NVDA's 10:1 of June 2024, for no bar lists them.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from spark_app.ingestion.current import read_bars, read_index_membership
from spark_app.results.page.reading import read_facts
from spark_app.results.page.rendering import render_page
from tests.declared import STAGES
from tests.emulator import Market, YahooEmulator
from tests.ingestion.files.market_files import write_market_files
from tests.integration.expected import Rows
from tests.integration.world import World, open_world

pytestmark = [pytest.mark.campaign, pytest.mark.usefixtures("no_settings_from_outside")]

ENERGY_LEADS = dt.date(2021, 9, 30)
LATER = (dt.date(2022, 10, 28), dt.date(2022, 10, 31))
FIRST_BAR = dt.date(2021, 7, 1)
SECTORS = ("XLB", "XLC", "XLE", "XLF", "XLI", "XLK", "XLP", "XLRE", "XLU", "XLV", "XLY")


@pytest.fixture(scope="module")
def folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files")
    write_market_files(shared_data / "market_data", made, first=FIRST_BAR)
    return made


@pytest.fixture(scope="module")
def settings(folder: Path) -> dict[str, dict[str, object]]:
    return {"source": {"name": "files"}, "files": {"folder": str(folder)}, "portfolio": {"top_n_per_sector": 100}}


@pytest.fixture(scope="module")
def world(home: Path, spark: SparkSession, settings: dict[str, dict[str, object]]) -> Iterator[World]:
    """An installation after the import, the five stages of one session, and republish of two others."""
    with YahooEmulator(Market()) as emulator, open_world(home, emulator) as world:
        imported = world.run(spark, ENERGY_LEADS, stages=["import_files"], settings=settings)["import_files"]
        assert imported.exit_code == 0, imported
        reports = world.run(spark, ENERGY_LEADS, settings=settings)
        assert [reports[stage].exit_code for stage in STAGES] == [0] * 5, reports
        again = world.run(spark, LATER[-1], stages=["republish"], settings=settings, as_of_dates=LATER)["republish"]
        assert again.exit_code == 0, again
        yield world
        assert len(emulator.log) == 0


@pytest.fixture(scope="module")
def tables(world: World) -> dict[str, Rows]:
    return world.tables()


@pytest.fixture(scope="module")
def prices(folder: Path) -> pd.DataFrame:
    """The bars of the file by ticker and session."""
    return pd.read_parquet(folder / "bars.parquet").set_index(["ticker", "trade_date"]).sort_index()


@pytest.fixture(scope="module")
def splits(folder: Path) -> pd.DataFrame:
    found = pd.read_csv(folder / "splits.csv", parse_dates=["ex_date"])
    return found.assign(ex_date=found["ex_date"].dt.date)


def product(splits: pd.DataFrame, ticker: str, after: dt.date, until: dt.date) -> float:
    own = splits[(splits["ticker"] == ticker) & (splits["ex_date"] > after) & (splits["ex_date"] <= until)]
    found: float = math.prod(own["split_ratio"].tolist())
    return found


def test_staged_closes_are_those_of_the_last_bar(
    world: World, spark: SparkSession, settings: Any, prices: pd.DataFrame, splits: pd.DataFrame
) -> None:
    run = world.open(spark, LATER[-1], settings=settings)
    staged = {row["ticker"]: row["close_price"] for row in read_bars(run, LATER[-1], LATER[-1]).collect()}
    of_day = prices.xs(LATER[-1], level="trade_date")["close_price"]
    last = prices.reset_index().groupby("ticker")["trade_date"].max()
    expected = {t: of_day[t] * product(splits, t, last[t], dt.date.max) for t in of_day.index.tolist()}
    assert staged == pytest.approx(expected, rel=1e-12)
    # As it was traded that day; the file has a tenth of it.
    assert staged["NVDA"] == pytest.approx(134.97, abs=0.005)
    assert of_day["NVDA"] == pytest.approx(13.497, abs=0.0005)
    members = read_index_membership(run)
    assert members is not None
    assert members.count() == 1230
    (brk,) = members.where("ticker = 'BRK-B'").collect()
    assert (brk["start_date"], brk["end_date"]) == (dt.date(2010, 2, 16), None)


@pytest.mark.parametrize("as_of", [ENERGY_LEADS, *LATER])
def test_trends_are_those_of_the_files(tables: dict[str, Rows], prices: pd.DataFrame, as_of: dt.date) -> None:
    adjusted = prices["adj_close_price"].unstack("ticker")
    place = adjusted.index.tolist().index(as_of)
    for sector in SECTORS:
        for sessions in (5, 10, 20):
            served = tables["analytics_trending_sectors"][as_of, sector, sessions]
            own, spy = (
                100 * (adjusted[t].iloc[place] / adjusted[t].iloc[place - sessions] - 1) for t in (sector, "SPY")
            )
            assert float(served["return_pct"]) == pytest.approx(own, abs=1e-6)
            assert served["is_trending"] == (own > spy and own > 0)


@pytest.mark.parametrize("as_of", [ENERGY_LEADS, *LATER])
def test_portfolios_are_weighted_by_the_caps_of_the_files(
    tables: dict[str, Rows], folder: Path, prices: pd.DataFrame, splits: pd.DataFrame, as_of: dt.date
) -> None:
    quotes = pd.read_csv(folder / "quotes.csv", parse_dates=["quote_date"])
    quotes = quotes.assign(quote_date=quotes["quote_date"].dt.date).set_index(["ticker", "quote_date"])
    rows = {ticker: row for (day, ticker), row in tables["analytics_portfolio_allocation"].items() if day == as_of}
    assert len(rows) > 5
    assert sum(row["portfolio_weight"] for row in rows.values()) == Decimal(1)
    total = sum(row["market_cap"] for row in rows.values())
    compared = 0
    for ticker, row in rows.items():
        assert row["holdings_date"] == dt.date(2021, 8, 31)
        assert float(row["portfolio_weight"]) == pytest.approx(row["market_cap"] / total, abs=2e-8)
        quote = quotes.loc[ticker, row["quote_date"]]
        since = splits[(splits["ticker"] == ticker) & (splits["ex_date"] > row["quote_date"])]
        if any(
            Fraction(ratio).limit_denominator(20) != Fraction(ratio).limit_denominator(10_000)
            for ratio in since["split_ratio"]
        ):
            continue  # A spin-off, which changes the price and not the shares.
        # Shares at the quote, by the splits since then, times the close as it was traded on the day.
        traded = prices.loc[(ticker, as_of), "close_price"] * product(splits, ticker, as_of, dt.date.max)
        shares = quote["market_cap"] / quote["price"] * product(splits, ticker, row["quote_date"], as_of)
        assert row["market_cap"] == pytest.approx(shares * traded, rel=1e-6)
        compared += 1
    assert compared > len(rows) / 2


def test_served_prices_are_those_of_the_files(tables: dict[str, Rows], prices: pd.DataFrame) -> None:
    funds = tables["collected_daily_etf_ohlc"]
    assert len({day for _, day in funds}) >= 21
    for (ticker, day), row in funds.items():
        given = prices.loc[(ticker, day)]
        for name in ("open_price", "high_price", "low_price", "close_price", "adj_close_price"):
            assert float(row[name]) == pytest.approx(given[name], abs=1e-6)
        assert row["volume"] == given["volume"]
    stocks = tables["collected_daily_stock_history"]
    assert {day for _, day in stocks} >= {ENERGY_LEADS, *LATER}


def test_the_command_on_the_page_fills_its_year(
    world: World, spark: SparkSession, settings: dict[str, dict[str, object]]
) -> None:
    def page() -> str:
        return render_page(read_facts(world.database, LATER[-1], now=dt.datetime.now(dt.UTC), basis_sessions=20))

    command = "backfill_etf_benchmarks --days 252 --as-of 2022-10-31 --source files"
    assert f"A year is filled from the imported files: <code>./spark_jobs_launcher.sh {command}</code>" in page()
    job = command.split()[0]
    report = world.run(spark, LATER[-1], stages=[job], settings=settings, days=252)[job]
    assert report.exit_code == 0, report
    filled = page()
    assert "252 sessions, first = 100" in filled
    assert "A year is filled" not in filled
