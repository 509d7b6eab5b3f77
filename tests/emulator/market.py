"""The market that the emulator serves: plain data, which may change while it runs."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import pandas as pd

NEW_YORK = ZoneInfo("America/New_York")
_NO_SHARE = re.compile(r"-|CASH_USD|(IX|XA)[A-Z][HMUZ]\d")


@functools.cache
def new_york_stamp(day: dt.date, hour: int, minute: int = 0) -> int:
    """Return the epoch second of a New York wall time."""
    return int(dt.datetime.combine(day, dt.time(hour, minute), tzinfo=NEW_YORK).timestamp())


class Bar(NamedTuple):
    """One row of a chart: split-adjusted prices, `adj_close` for dividends as well; None is Yahoo's null.

    `traded_at` (aware) makes it a row of an open session: Yahoo stamps that with the last trade.
    """

    trade_date: dt.date
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    adj_close: float | None
    volume: int | None
    traded_at: dt.datetime | None = None

    @property
    def stamp(self) -> int:
        """The row's timestamp in a chart: the session's open, 09:30 in New York."""
        return int(self.traded_at.timestamp()) if self.traded_at else new_york_stamp(self.trade_date, 9, 30)


class Event(NamedTuple):
    """A dividend per share (0 = none), a split in new shares per old one (1 = none), or both."""

    ex_date: dt.date
    dividend: float = 0.0
    split_ratio: float = 1.0

    @property
    def stamp(self) -> int:
        """The event's timestamp in a chart."""
        return new_york_stamp(self.ex_date, 9, 30)


class Holding(NamedTuple):
    """One row of a fund's holdings in the issuer's spelling (BRK.B), the weight in percent."""

    ticker: str
    name: str
    percent: float
    shares: float = 0.0

    @property
    def is_share(self) -> bool:
        """False for cash, money-market funds and futures, which Yahoo does not list."""
        return not _NO_SHARE.fullmatch(self.ticker)


CASH_ROWS = (
    Holding("-", "SSI US GOV MONEY MARKET CLASS", 0.141132, 9456224.15),
    Holding("IXTZ5", "XAK TECHNOLOGY    DEC25", 0.019922, 9000),
    Holding("CASH_USD", "U.S. DOLLAR", 0.003, 201013.5),
    Holding("-", "US DOLLAR", -0.007694, -515527.56),
)
"""What real holdings files carry besides shares; weights can be negative."""


class Snapshot(NamedTuple):
    """A fund's holdings on one date."""

    as_of_date: dt.date
    holdings: tuple[Holding, ...]
    fund_name: str = "State Street Select Sector SPDR ETF"


class Quote(NamedTuple):
    """What v7/finance/quote knows of a symbol: market cap in USD, price, the time of that price (aware)."""

    market_cap: int | None
    price: float | None
    quoted_at: dt.datetime
    long_name: str | None = None
    short_name: str | None = None
    quote_type: str = "EQUITY"
    currency: str | None = "USD"


class Market:
    """Bars, events and quotes by Yahoo's symbol, holdings by fund.

    A symbol without bars, quote or holdings is unknown to the endpoint that serves these.
    Every change replaces whole tuples, so an answer under way sees the old state or the new one.
    """

    def __init__(
        self,
        bars: Mapping[str, Iterable[Bar]] | None = None,
        events: Mapping[str, Iterable[Event]] | None = None,
        holdings: Mapping[str, Snapshot] | None = None,
        quotes: Mapping[str, Quote] | None = None,
    ) -> None:
        self.bars = {ticker: tuple(sorted(rows, key=lambda b: b.stamp)) for ticker, rows in (bars or {}).items()}
        self.events = {ticker: tuple(sorted(rows)) for ticker, rows in (events or {}).items()}
        self.holdings = dict(holdings or {})
        self.quotes = dict(quotes or {})

    @classmethod
    def from_frames(
        cls,
        bars: pd.DataFrame | None = None,
        events: pd.DataFrame | None = None,
        holdings: pd.DataFrame | None = None,
        quotes: pd.DataFrame | None = None,
    ) -> Market:
        """Take a market from pandas frames.

        Columns in: bars ticker, trade_date, open, high, low, close, adj_close, volume; events ticker, ex_date,
        dividend, split_ratio (0 or 1 = none); holdings etf_ticker, holding_ticker, holding_name, holding_percent,
        as_of_date, shares (each fund's newest snapshot counts); quotes ticker, name, market_cap, price, as_of_date.
        Dates may be dates, timestamps or ISO text.
        """
        from tests.emulator import frames

        return cls(
            {} if bars is None else frames.bars_by_ticker(bars),
            {} if events is None else frames.events_by_ticker(events),
            {} if holdings is None else frames.holdings_by_fund(holdings),
            {} if quotes is None else frames.quotes_by_ticker(quotes),
        )

    def knows(self, ticker: str) -> bool:
        """Say whether anything at all is known of the symbol."""
        return ticker in self.bars or ticker in self.quotes or ticker in self.holdings

    def quote_type(self, ticker: str) -> str:
        """Return ETF for funds, else what the quote says, else EQUITY."""
        if ticker in self.holdings:
            return "ETF"
        return self.quotes[ticker].quote_type if ticker in self.quotes else "EQUITY"

    def add_bars(self, ticker: str, *bars: Bar) -> None:
        """Add rows; rows of the same dates that were there before go."""
        dates = {bar.trade_date for bar in bars}
        kept = [bar for bar in self.bars.get(ticker, ()) if bar.trade_date not in dates]
        self.bars[ticker] = tuple(sorted([*kept, *bars], key=lambda bar: bar.stamp))

    def drop_bars(self, ticker: str, *dates: dt.date) -> None:
        """Leave a gap: the chart has no row for these dates."""
        self.bars[ticker] = tuple(bar for bar in self.bars[ticker] if bar.trade_date not in dates)

    def add_dividend(self, ticker: str, ex_date: dt.date, amount: float) -> None:
        """Let a dividend become known: every adjusted close before it shrinks by its share of the last close."""
        last_close = next(b.close for b in reversed(self.bars[ticker]) if b.trade_date < ex_date and b.close)
        factor = 1 - amount / last_close
        self._restate(ticker, ex_date, lambda bar: bar._replace(adj_close=_scaled(bar.adj_close, factor)))
        self._add_event(ticker, Event(ex_date, dividend=amount))

    def add_split(self, ticker: str, ex_date: dt.date, ratio: float) -> None:
        """Let a split become known: prices, volumes and dividends before it are restated.

        Rows from `ex_date` on count as given in the new shares already.
        """
        self._restate(ticker, ex_date, lambda bar: _split(bar, ratio))
        self.events[ticker] = tuple(
            e._replace(dividend=e.dividend / ratio) if e.ex_date < ex_date else e for e in self.events.get(ticker, ())
        )
        self._add_event(ticker, Event(ex_date, split_ratio=ratio))

    def _restate(self, ticker: str, ex_date: dt.date, change: Callable[[Bar], Bar]) -> None:
        self.bars[ticker] = tuple(change(bar) if bar.trade_date < ex_date else bar for bar in self.bars[ticker])

    def _add_event(self, ticker: str, event: Event) -> None:
        self.events[ticker] = tuple(sorted([*self.events.get(ticker, ()), event]))


def _split(bar: Bar, ratio: float) -> Bar:
    return bar._replace(
        open=_scaled(bar.open, 1 / ratio),
        high=_scaled(bar.high, 1 / ratio),
        low=_scaled(bar.low, 1 / ratio),
        close=_scaled(bar.close, 1 / ratio),
        adj_close=_scaled(bar.adj_close, 1 / ratio),
        volume=None if bar.volume is None else round(bar.volume * ratio),
    )


def _scaled(price: float | None, factor: float) -> float | None:
    return None if price is None else price * factor
