"""A small random market of funds and stocks, as pandas and as the facts of a backtest."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession

from spark_app import market_calendar
from spark_app.backtest.signals.facts import Facts, StockFacts
from spark_app.schemas import HOLDINGS, QUOTES
from spark_app.universe import Universe
from tests.backtest.independent_stocks import Market
from tests.transforms.frames import frame, share_classes_frame

SESSIONS = market_calendar.sessions_between(dt.date(2023, 2, 1), dt.date(2023, 6, 30))
FUNDS = ("AAA", "BBB", "CCC")
UNIVERSE = Universe("SPY", {fund: f"Sector {fund}" for fund in FUNDS}, {})
STOCKS = {"AAA": ("GOOG", "GOOGL", "S1", "S2"), "BBB": ("S3", "S4", "S5"), "CCC": ("S6", "S7", "GONE", "NOCAP")}
BEGIN, SECOND = SESSIONS[25], SESSIONS[60]
SPLIT = ("S3", SESSIONS[70], 2.0)
BARS = (
    "ticker string, trade_date date, open_price double, close_price double, adj_close_price double,"
    " split_ratio double, fetched_at timestamp"
)
_FETCHED = dt.datetime(2023, 7, 3, 12, tzinfo=dt.UTC)


def small_market(seed: int = 0) -> tuple[Market, pd.DataFrame]:
    """A market in which two snapshots differ, one stock has no price and one no market cap; and its adjusted opens."""
    random = np.random.default_rng(seed)
    priced = ["SPY", *FUNDS, *(s for stocks in STOCKS.values() for s in stocks if s != "GONE")]
    drift = np.where([t == "SPY" for t in priced], 0.0, random.uniform(-0.001, 0.004, len(priced)))
    steps = random.normal(drift, 0.012, (len(SESSIONS), len(priced)))
    closes = pd.DataFrame(50 * np.exp(steps.cumsum(axis=0)), SESSIONS, priced)
    adjusted = closes * np.linspace(0.98, 1, len(SESSIONS))[:, None]
    # S7 ends, and its last close is what it is worth from then on.
    closes.loc[SESSIONS[80] :, "S7"] = adjusted.loc[SESSIONS[80] :, "S7"] = np.nan
    holdings = {(fund, BEGIN): {stock: 10.0 + n for n, stock in enumerate(stocks)} for fund, stocks in STOCKS.items()}
    # S4 moves from BBB to CCC, where it has the larger part.
    holdings[("CCC", SECOND)] = {**holdings["CCC", BEGIN], "S4": 30.0}
    quoted = [s for s in priced if s not in ("SPY", *FUNDS, "NOCAP")]
    quotes = {
        stock: [(SESSIONS[n], int(random.integers(10**9, 10**12)), float(closes[stock].iloc[n])) for n in (24, 65)]
        for stock in quoted
        if stock != "S7"
    }
    # Closes before the split contain it; a price that was quoted then does not.
    stock, _, ratio = SPLIT
    quotes[stock] = [(date, cap, price * ratio) for date, cap, price in quotes[stock]]
    quotes["S7"] = [(SESSIONS[40], 5 * 10**9, float(closes["S7"].iloc[40]))]
    market = Market(
        "SPY",
        FUNDS,
        adjusted,
        closes,
        holdings,
        quotes,
        {stock: [SPLIT[1:]]},
        {"GOOG": "Alphabet", "GOOGL": "Alphabet"},
    )
    opens = adjusted * np.exp(random.normal(0, 0.004, closes.shape))
    return market, opens


def facts_of(spark: SparkSession, market: Market, opens: pd.DataFrame) -> Facts:
    """The same market as a backtest reads it."""
    bars = [
        (
            ticker,
            day,
            float(opens[ticker].loc[day] * market.closes[ticker].loc[day] / market.adjusted[ticker].loc[day]),
            float(market.closes[ticker].loc[day]),
            float(market.adjusted[ticker].loc[day]),
            SPLIT[2] if (ticker, day) == SPLIT[:2] else 1.0,
            _FETCHED,
        )
        for ticker in market.closes
        for day in market.closes.index
        if pd.notna(market.closes[ticker].loc[day])
    ]
    holdings = [
        (fund, date, stock, None, Decimal(str(percent)), _FETCHED, "run", "test")
        for (fund, date), held in market.holdings.items()
        for stock, percent in held.items()
    ]
    quotes = [
        (stock, dt.datetime.combine(date, dt.time(20), dt.UTC), date, cap, price, stock, stock, _FETCHED, "run", "test")
        for stock, quoted in market.quotes.items()
        for date, cap, price in quoted
    ]
    stocks = StockFacts(frame(spark, holdings, HOLDINGS), frame(spark, quotes, QUOTES), share_classes_frame(spark))
    return Facts(frame(spark, bars, BARS), stocks)
