"""What the served tables must hold, worked out from the domain's rules alone: plain Python, exact fractions, no Spark.

Nothing of the pipeline is used here. Every function that gives the rows of a table gives key -> column -> value,
without `run_id`, `fetched_at` and the columns of free text. Stocks and the portfolio are in expected_portfolio.py.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import exchange_calendars

from tests.emulator import Bar, Event, Quote, Snapshot

Rows = dict[tuple[Any, ...], dict[str, Any]]

SECTORS = {
    "XLB": "Materials",
    "XLC": "Communication Services",
    "XLE": "Energy",
    "XLF": "Financials",
    "XLI": "Industrials",
    "XLK": "Information Technology",
    "XLP": "Consumer Staples",
    "XLRE": "Real Estate",
    "XLU": "Utilities",
    "XLV": "Health Care",
    "XLY": "Consumer Discretionary",
}
PERIODS = (5, 10, 20)
SERVED_SESSIONS = 21

_SESSIONS = [s.date() for s in exchange_calendars.get_calendar("XNYS", start="2017-01-01").sessions]


@dataclass(frozen=True)
class Known:
    """All that the pipeline was told: bars and events by ticker, every snapshot by fund, every quote by ticker.

    Tickers in Yahoo's spelling. `top_n`, `basis` and `max_weight` are the portfolio's settings.
    """

    bars: Mapping[str, Sequence[Bar]]
    events: Mapping[str, Sequence[Event]]
    snapshots: Mapping[str, Sequence[Snapshot]]
    quotes: Mapping[str, Sequence[Quote]]
    top_n: int = 5
    basis: int = 20
    max_weight: Decimal | None = None
    by_date: dict[str, dict[dt.date, Bar]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_date = {t: {bar.trade_date: bar for bar in bars if _is_sound(bar)} for t, bars in self.bars.items()}
        object.__setattr__(self, "by_date", by_date)

    def bar(self, ticker: str, day: dt.date) -> Bar | None:
        """The bar of a session; None where there is none, or none that could be served."""
        return self.by_date.get(ticker, {}).get(day)


class Member(NamedTuple):
    """A stock, the one sector fund that it belongs to, its percentage of that fund, and the date of that snapshot."""

    ticker: str
    fund: str
    percent: Decimal
    snapshot_date: dt.date


def sessions_ending(day: dt.date, count: int) -> list[dt.date]:
    """The `count` sessions that end with the session `day`."""
    end = _SESSIONS.index(day) + 1
    return _SESSIONS[end - count : end]


def rounded(value: Fraction | float | Decimal, decimals: int = 6) -> Decimal:
    """Round half up, away from zero, by exact arithmetic."""
    exact = Fraction(str(value)) if isinstance(value, float) else Fraction(value)
    scaled = abs(exact) * 10**decimals
    units = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Decimal(units if exact >= 0 else -units).scaleb(-decimals)


def is_price(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def _is_sound(bar: Bar) -> bool:
    prices = (bar.open, bar.high, bar.low, bar.close, bar.adj_close)
    return all(map(is_price, prices)) and (bar.high or 0) >= (bar.low or 0)


def _change(later: float | None, earlier: float | None) -> Decimal | None:
    if later is None or earlier is None:
        return None
    return rounded((Fraction(later) / Fraction(earlier) - 1) * 100)


def return_pct(known: Known, ticker: str, day: dt.date, sessions: int) -> Decimal | None:
    """The return over so many sessions in percent; None where the ticker or SPY lacks an end point."""
    ends = sessions_ending(day, sessions + 1)
    changes = []
    for symbol in (ticker, "SPY"):
        first, last = known.bar(symbol, ends[0]), known.bar(symbol, ends[-1])
        changes.append(_change(last and last.adj_close, first and first.adj_close))
    return None if None in changes else changes[0]


def ranks(returns: Mapping[str, Decimal | None]) -> dict[str, int]:
    ordered = sorted((-value, ticker) for ticker, value in returns.items() if value is not None)
    return {ticker: number for number, (_, ticker) in enumerate(ordered, start=1)}


def trending_sectors(known: Known, day: dt.date) -> Rows:
    """Rows of analytics_trending_sectors; `is_unavailable` says whether a reason must stand there."""
    rows: Rows = {}
    for sessions in PERIODS:
        benchmark = return_pct(known, "SPY", day, sessions)
        returns = {fund: return_pct(known, fund, day, sessions) for fund in SECTORS}
        places = ranks(returns)
        for fund, value in returns.items():
            rows[day, fund, sessions] = {
                "sector_name": SECTORS[fund],
                "return_pct": value,
                "benchmark_return_pct": benchmark,
                "is_trending": value is not None and benchmark is not None and value > max(benchmark, Decimal(0)),
                "rank": places.get(fund),
                "is_unavailable": value is None,
            }
    return rows


def trending_funds(known: Known, day: dt.date, sessions: int | None = None) -> set[str]:
    """The sector funds that trend over a period, or over any."""
    return {
        fund
        for (_, fund, period), row in trending_sectors(known, day).items()
        if row["is_trending"] and period == (sessions or period)
    }


def _snapshot(known: Known, fund: str, day: dt.date) -> Snapshot | None:
    snapshots = sorted(known.snapshots.get(fund, ()), key=lambda s: s.as_of_date)
    before = [s for s in snapshots if s.as_of_date <= day]
    return before[-1] if before else next(iter(snapshots), None)


def shares_of(snapshot: Snapshot) -> dict[str, tuple[str, Decimal]]:
    """The shares of a snapshot: ticker -> name and percentage; one named twice counts once, with the larger."""
    shares: dict[str, tuple[str, Decimal]] = {}
    for holding in snapshot.holdings:
        ticker, percent = holding.ticker.replace(".", "-"), rounded(holding.percent)
        if holding.is_share and percent > shares.get(ticker, ("", Decimal(-1)))[1]:
            shares[ticker] = (holding.name, percent)
    return shares


def fund_holdings(known: Known, day: dt.date) -> Rows:
    """Rows of collected_meta_etf that the fetch of one day brings."""
    rows: Rows = {}
    for fund in ("SPY", *SECTORS):
        snapshot = _snapshot(known, fund, day)
        if snapshot is None:
            continue
        shares = shares_of(snapshot)
        ordered = sorted(shares, key=lambda ticker: (-shares[ticker][1], ticker))
        for rank, ticker in enumerate(ordered, start=1):
            rows[fund, ticker, snapshot.as_of_date] = {
                "etf_type": "benchmark" if fund == "SPY" else "sector",
                "sector_name": SECTORS.get(fund),
                "holding_name": shares[ticker][0] or None,
                "holding_percent": shares[ticker][1],
                "holding_rank": rank,
                "coverage_percent": sum(percent for _, percent in shares.values()),
            }
    return rows


def members(known: Known, day: dt.date) -> dict[str, Member]:
    """Each stock with the sector fund that holds the larger percentage, of two alike the first by ticker."""
    found: dict[str, Member] = {}
    for fund in sorted(SECTORS):
        snapshot = _snapshot(known, fund, day)
        if snapshot is None:
            continue
        for ticker, (_, percent) in shares_of(snapshot).items():
            if ticker not in found or percent > found[ticker].percent:
                found[ticker] = Member(ticker, fund, percent, snapshot.as_of_date)
    return found


def universe(known: Known, day: dt.date) -> set[str]:
    """The stocks whose prices stage 4 collects: members of the sectors that trend over any period."""
    funds = trending_funds(known, day)
    return {member.ticker for member in members(known, day).values() if member.fund in funds}


def daily_prices(known: Known, tickers: Iterable[str], day: dt.date) -> Rows:
    """Rows of the price tables: the 21 sessions that end with `day`, of the tickers that have bars.

    An event of a session without a bar shows first in the bar after it.
    """
    window = sessions_ending(day, SERVED_SESSIONS + 1)
    rows: Rows = {}
    for ticker in tickers:
        days = sorted(known.by_date.get(ticker, ()))
        events = {next((d for d in days if d >= e.ex_date), None): e for e in known.events.get(ticker, ())}
        for before, today in itertools.pairwise(window):
            bar, previous = known.bar(ticker, today), known.bar(ticker, before)
            if bar is None:
                continue
            event = events.get(today, Event(today))
            prices = {f"{name}_price": getattr(bar, name) for name in ("open", "high", "low", "close", "adj_close")}
            rows[ticker, today] = {
                **{name: rounded(price) for name, price in prices.items()},
                "volume": bar.volume,
                "dividend": rounded(event.dividend),
                "split_ratio": rounded(event.split_ratio),
                "price_change_percent": _change(bar.close, previous and previous.close),
            }
    return rows
