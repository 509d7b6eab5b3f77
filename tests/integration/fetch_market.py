"""A calm market for fetching: 12 funds, QQQ and 33 stocks, three of each sector; a close of any session by hand.

On session number n (0 = the oldest) the k-th ticker of `TICKERS` closes at 100 + k + n / 8, so all sectors rise.
"""

from __future__ import annotations

import datetime as dt

from tests.emulator import Bar, Holding, Market, Quote, Snapshot
from tests.emulator.market import NEW_YORK
from tests.integration.expected import SECTORS, sessions_ending

AS_OF = dt.date(2024, 5, 10)
NEXT_DAY = dt.date(2024, 5, 13)
LAST_DAY = dt.date(2024, 5, 14)
MORNING_AFTER = dt.datetime(2024, 5, 11, 9, tzinfo=dt.UTC)
"""When a run for `AS_OF` begins."""
NEXT_MORNING = dt.datetime(2024, 5, 14, 9, tzinfo=dt.UTC)
"""When a run for `NEXT_DAY` begins."""

FUNDS = ("SPY", "XLK", "XLV", "XLF", "XLE", "XLY", "XLP", "XLI", "XLB", "XLU", "XLRE", "XLC")
STAGE_1 = (*FUNDS, "QQQ")
"""The order in which stage 1 asks."""
STOCKS = {fund: [f"{fund[2:]}{letter}{letter}" for letter in "ABC"] for fund in SECTORS}
ALL_STOCKS = sorted(stock for stocks in STOCKS.values() for stock in stocks)
TICKERS = (*STAGE_1, *ALL_STOCKS)


def fetch_market(last: dt.date = LAST_DAY, sessions: int = 45) -> Market:
    """Make the market, with so many sessions up to `last`."""
    days = sessions_ending(last, sessions)
    return Market(
        bars={ticker: [_bar(day, 100 + k + n / 8) for n, day in enumerate(days)] for k, ticker in enumerate(TICKERS)},
        holdings={fund: _snapshot(fund) for fund in FUNDS},
        quotes={stock: _quote(k) for k, stock in enumerate(ALL_STOCKS, start=1)},
    )


def _bar(day: dt.date, close: float) -> Bar:
    return Bar(day, close, close + 1, close - 1, close, close, 1000)


def _snapshot(fund: str) -> Snapshot:
    stocks = STOCKS.get(fund, ["KAA"])
    return Snapshot(dt.date(2024, 4, 30), tuple(Holding(s, f"{s} INC", 30.0 - k) for k, s in enumerate(stocks)))


def _quote(billions: int) -> Quote:
    return Quote(billions * 10**9, 100.0, dt.datetime(2024, 5, 10, 16, tzinfo=NEW_YORK), f"Stock {billions}")
