"""One installation that lives through several runs on real prices, and how what it served is judged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import SparkSession

from tests.emulator import Quote
from tests.emulator.log import KINDS
from tests.integration.expected import (
    SECTORS,
    Known,
    Rows,
    daily_prices,
    fund_holdings,
    sessions_ending,
    trending_sectors,
    universe,
)
from tests.integration.expected_portfolio import portfolio, stock_history
from tests.integration.real_market import RealMarket
from tests.integration.world import World, differences, without_text

FUNDS = ("SPY", *SECTORS)


@dataclass(frozen=True)
class After:
    """What a run left behind, and what the pipeline had been told by then."""

    known: Known
    tables: dict[str, Rows]
    summary: dict[str, Any]
    requests: dict[str, list[tuple[str, ...]]]

    def in_table(self, name: str, day: dt.date) -> Rows:
        """The rows of one as-of date."""
        return {key: row for key, row in self.tables[name].items() if key[0] == day}


@dataclass
class Story:
    """The installation, and the quotes that it has been told so far."""

    world: World
    real: RealMarket
    quotes: dict[str, list[Quote]]

    def known(self) -> Known:
        market, shares = self.real.market, self.real.shares
        quotes = {ticker: list(quotes) for ticker, quotes in self.quotes.items()}
        return Known(market.bars, market.events, {fund: [s] for fund, s in shares.items()}, quotes)

    def serve_quotes(self, day: dt.date) -> None:
        """Let the emulator answer with the market caps of one day."""
        self.world.emulator.market.quotes = dict(self.real.quotes[day])
        self.world.emulator.log.clear()

    def after(self, day: dt.date, summary: Mapping[str, Any]) -> After:
        """Note what the run of `day` was told, and take a picture of what it served."""
        served = self.world.emulator.market.quotes
        for ticker in universe(self.known(), day):
            if ticker in served and served[ticker] not in self.quotes.setdefault(ticker, []):
                self.quotes[ticker].append(served[ticker])
        requests = {kind: [r.tickers for r in self.world.emulator.log.of(kind)] for kind in KINDS}
        return After(self.known(), self.world.tables(), dict(summary), requests)

    def run(self, spark: SparkSession, day: dt.date, quote_day: dt.date, **options: Any) -> After:
        """Run stages in this process."""
        self.serve_quotes(quote_day)
        reports = self.world.run(spark, day, **options)
        assert {report.exit_code for report in reports.values()} == {0}, reports
        return self.after(day, reports)


def assert_prices_and_holdings_as_expected(after: After, day: dt.date) -> None:
    """Every number of the funds' tables for the run of a day."""
    days = sessions_ending(day, 21)
    for table, tickers in (("collected_daily_etf_ohlc", FUNDS), ("collected_daily_benchmark_ohlc", ("SPY", "QQQ"))):
        served = {k: row for k, row in after.tables[table].items() if k[1] in days}
        assert not differences(without_text(served), daily_prices(after.known, tickers, day)), table
    assert not differences(without_text(after.tables["collected_meta_etf"], "source"), fund_holdings(after.known, day))


def assert_stock_history_as_expected(after: After, day: dt.date) -> None:
    """Every number of the stocks that the run of a day collected."""
    stocks = universe(after.known, day)
    right = stock_history(after.known, stocks, day)
    days = sessions_ending(day, 21)
    served = after.tables["collected_daily_stock_history"]
    of_the_run = {key: row for key, row in served.items() if key[0] in stocks and key[1] in days}
    assert not differences(without_text(of_the_run), right)


def assert_trends_as_expected(after: After, day: dt.date) -> None:
    """Every number of the sectors' trends; an unavailable one has a reason."""
    served = without_text(after.in_table("analytics_trending_sectors", day))
    for row in served.values():
        row["is_unavailable"] = bool(row.pop("unavailable_reason"))
    assert not differences(served, trending_sectors(after.known, day))


def assert_portfolio_as_expected(after: After, day: dt.date) -> None:
    """Every number of the portfolio, every exclusion; each says why."""
    positions, exclusions = portfolio(after.known, day)
    held, out = (after.in_table(f"analytics_portfolio_{name}", day) for name in ("allocation", "exclusion"))
    assert not differences(without_text(held, "allocation_reason"), positions)
    assert not differences(without_text(out, "detail"), exclusions)
    assert all(row["allocation_reason"] for row in held.values())
    assert all(row["detail"] for row in out.values())


def assert_all_as_expected(after: After, day: dt.date) -> None:
    """Every number of a day."""
    assert_prices_and_holdings_as_expected(after, day)
    assert_trends_as_expected(after, day)
    assert_stock_history_as_expected(after, day)
    assert_portfolio_as_expected(after, day)
