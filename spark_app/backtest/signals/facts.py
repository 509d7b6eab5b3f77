"""What signals are computed from: prices, and for stocks what was known of holdings and market caps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_app.universe import Rename


@dataclass(frozen=True)
class StockFacts:
    """What is known of stocks beside their prices.

    Attributes:
        holdings: current snapshots, schemas.HOLDINGS.
        quotes: current, schemas.QUOTES.
        share_classes: ticker, issuer, valid_from, valid_to (exclusive).
        index_members: ticker, start_date, end_date (exclusive, null while it lasts): who may be held when; None for
            everybody.
        renames: the tickers that changed.
    """

    holdings: DataFrame
    quotes: DataFrame
    share_classes: DataFrame
    index_members: DataFrame | None = None
    renames: Sequence[Rename] = ()


@dataclass(frozen=True)
class Facts:
    """What signals are computed from.

    Attributes:
        bars: current, of the funds and of the stocks that they hold: ticker, trade_date, adj_close_price; where there
            are any, open_price and close_price; for market caps close_price, split_ratio and fetched_at, and then also
            the bars with a split on other sessions than those of the backtest.
        stocks: None where funds are held.
    """

    bars: DataFrame
    stocks: StockFacts | None = None

    def without_future(self, cut: dt.date) -> Facts:
        """The same without what is dated later. Later splits are kept: the closes before contain them already."""
        prices = _prices_of(self.bars, F.lit(None).cast("double"), cut)
        if self.stocks is None:
            return replace(self, bars=prices)
        stocks = replace(
            self.stocks,
            holdings=self.stocks.holdings.where(F.col("snapshot_date") <= cut),
            quotes=self.stocks.quotes.where(F.col("quote_date") <= cut),
        )
        return replace(self, bars=prices, stocks=stocks)

    def with_another_future(self, cut: dt.date, seed: int) -> Facts:
        """The same with noise in what is dated later: between a half and one and a half of each number."""

        def noise(number: int) -> Column:
            return F.rand(seed + number) + 0.5

        def noisy(name: str, date: str, number: int) -> Column:
            return F.when(F.col(date) > cut, F.col(name) * noise(number)).otherwise(F.col(name))

        prices = _prices_of(self.bars, noise(0), cut)
        if self.stocks is None:
            return replace(self, bars=prices)
        percent = noisy("holding_percent", "snapshot_date", 1).cast("decimal(9,6)")
        cap = noisy("market_cap", "quote_date", 2).cast("bigint")
        stocks = replace(
            self.stocks,
            holdings=self.stocks.holdings.withColumn("holding_percent", percent),
            quotes=self.stocks.quotes.withColumn("market_cap", cap),
        )
        return replace(self, bars=prices, stocks=stocks)


def _prices_of(bars: DataFrame, factor: Column, cut: dt.date) -> DataFrame:
    prices = [name for name in bars.columns if name.endswith("_price")]
    is_later = F.col("trade_date") > cut
    return bars.withColumns({name: F.when(is_later, F.col(name) * factor).otherwise(F.col(name)) for name in prices})
