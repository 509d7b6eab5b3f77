"""A market of random walks up to the last completed session, with something wrong in it that no run may lose."""

from __future__ import annotations

import datetime as dt
import random

from tests.emulator import CASH_ROWS, Bar, Event, Holding, Market, Quote, Snapshot
from tests.emulator.market import NEW_YORK
from tests.integration.expected import SECTORS, sessions_ending

_STOCKS = {fund: [f"{fund[2:]}{letter * 2}" for letter in "AB"] for fund in SECTORS}
_SESSIONS = 60
_UNKNOWN = "GONE"
"""A holding that Yahoo does not list."""


def walking_market(seed: int, last: dt.date) -> Market:
    """Make the market of a seed: two stocks in each sector, a split, a dividend, and two bars that break a rule."""
    rng = random.Random(seed)
    days = sessions_ending(last, _SESSIONS)
    stocks = [stock for pair in _STOCKS.values() for stock in pair]
    market = Market(
        bars={ticker: _walk(rng, days) for ticker in ("SPY", "QQQ", *SECTORS, *stocks)},
        holdings={fund: _snapshot(rng, days[-10], _STOCKS.get(fund, stocks[:3])) for fund in ("SPY", *SECTORS)},
        quotes={stock: _quote(rng, days[-1]) for stock in stocks},
    )
    market.events[stocks[0]] = (Event(days[-4], split_ratio=2.0),)
    market.add_dividend("XLF", days[-6], 0.5)
    for ticker, day in (("QQQ", days[-5]), (stocks[1], days[-7])):
        bar = next(bar for bar in market.bars[ticker] if bar.trade_date == day)
        market.add_bars(ticker, bar._replace(high=0.5))
    return market


def _walk(rng: random.Random, days: list[dt.date]) -> list[Bar]:
    price, bars = rng.uniform(20, 300), []
    for day in days:
        price = round(price * rng.uniform(0.98, 1.022), 4)
        bars.append(Bar(day, price, price * 1.01, price * 0.99, price, price, rng.randint(1000, 10**7)))
    return bars


def _snapshot(rng: random.Random, day: dt.date, stocks: list[str]) -> Snapshot:
    shares = [Holding(stock, f"{stock} INC", round(rng.uniform(1, 20), 6)) for stock in stocks]
    return Snapshot(day, (*shares, Holding(_UNKNOWN, "GONE INC", 0.5), *CASH_ROWS))


def _quote(rng: random.Random, day: dt.date) -> Quote:
    closed_at = dt.datetime.combine(day, dt.time(16), tzinfo=NEW_YORK)
    return Quote(rng.randint(1, 900) * 10**9, rng.uniform(20, 300), closed_at, f"Company {rng.random()}")
