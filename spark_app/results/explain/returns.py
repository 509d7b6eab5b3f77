"""The returns of `explain`: as the stages stored them, beside the served closes that they were computed from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal

import psycopg

from spark_app.results.explain.facts import STOCK_TABLE, Close, Row, read_closes
from spark_app.universe import BENCHMARK

_FUNDS = "collected_daily_etf_ohlc"
_BENCHMARKS = "collected_daily_benchmark_ohlc"
_PERCENT = Decimal("0.000001")

Starts = Mapping[int, dt.date | None]
"""Period -> the session so many sessions before the as-of date, None before the calendar begins."""


@dataclass(frozen=True)
class PeriodReturn:
    """The return over some sessions, in percent, and what it is compared with.

    Attributes:
        start_date, start, end: the first session, and the served closes of the first and the last; None where missing.
        return_pct: as the stage stored it. For a stock that is no position it is not stored, and `is_stored` is false:
            then it is that of the served closes.
        served_return_pct: that of the adjusted closes as they are served now; None where one is missing.
        compared_with, compared_return_pct: the sector's fund for a stock, SPY for a fund.
        rank: by return, in the sector for a stock, among the sectors for a fund.
        unavailable_reason: why there is no return; of a fund.
    """

    sessions: int
    start_date: dt.date | None
    start: Close | None
    end: Close | None
    return_pct: Decimal | None
    is_stored: bool
    served_return_pct: Decimal | None
    compared_with: str | None = None
    compared_return_pct: Decimal | None = None
    is_trending: bool | None = None
    rank: int | None = None
    unavailable_reason: str | None = None


def stock_returns(
    connection: psycopg.Connection,
    ticker: str,
    as_of: dt.date,
    starts: Starts,
    position: Row | None,
    trends: Mapping[int, Row],
) -> tuple[PeriodReturn, ...]:
    """Return those of a stock beside its sector's fund.

    Args:
        position: its row of analytics_portfolio_allocation, if any.
        trends: period -> the row of its sector in analytics_trending_sectors.
    """
    found = []
    for period in _of_closes(connection, STOCK_TABLE, ticker, as_of, starts):
        n, fund = period.sessions, trends.get(period.sessions)
        if fund is not None:
            period = replace(period, compared_with=fund["etf_ticker"], compared_return_pct=fund["return_pct"])
        if position is not None:
            names = {"return_pct": f"return_{n}d", "is_trending": f"is_trending_{n}d", "rank": f"rank_{n}d"}
            period = replace(period, is_stored=True, **{own: position[name] for own, name in names.items()})
        found.append(period)
    return tuple(found)


def sector_returns(
    connection: psycopg.Connection, etf: str, as_of: dt.date, starts: Starts, trends: Mapping[int, Row]
) -> tuple[PeriodReturn, ...]:
    """Return those of a sector's fund beside SPY; `trends`: period -> its row of analytics_trending_sectors."""
    names = ("return_pct", "is_trending", "rank", "unavailable_reason")
    return tuple(
        replace(
            period,
            is_stored=True,
            compared_with=BENCHMARK,
            compared_return_pct=trends[period.sessions]["benchmark_return_pct"],
            **{name: trends[period.sessions][name] for name in names},
        )
        if period.sessions in trends
        else period
        for period in _of_closes(connection, _FUNDS, etf, as_of, starts)
    )


def benchmark_returns(
    connection: psycopg.Connection, ticker: str, as_of: dt.date, starts: Starts, trends: Sequence[Row]
) -> tuple[PeriodReturn, ...]:
    """Return those of a benchmark; stored with the trends of the sectors for SPY alone."""
    stored = {row["period_days"]: row["benchmark_return_pct"] for row in trends} if ticker == BENCHMARK else {}
    return tuple(
        replace(period, is_stored=True, return_pct=stored[period.sessions]) if period.sessions in stored else period
        for period in _of_closes(connection, _BENCHMARKS, ticker, as_of, starts)
    )


def _of_closes(
    connection: psycopg.Connection, table: str, ticker: str, as_of: dt.date, starts: Starts
) -> list[PeriodReturn]:
    """The returns of the closes as they are served, of every period."""
    days = [as_of, *(day for day in starts.values() if day is not None)]
    closes = read_closes(connection, table, ticker, days)
    found = []
    for n, day in starts.items():
        start, end = None if day is None else closes.get(day), closes.get(as_of)
        served = None
        if start is not None and end is not None:
            change = 100 * (end.adj_close_price / start.adj_close_price - 1)
            served = change.quantize(_PERCENT, ROUND_HALF_UP)
        found.append(PeriodReturn(n, day, start, end, served, False, served))
    return found
