"""A small market for the tests of the Yahoo source, and a source that fetches it from the emulator."""

from __future__ import annotations

import datetime as dt
import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from spark_app.errors import RateLimitedError
from spark_app.sources.contract import FetchRequest, Kind, Limiter, SourceConfig
from spark_app.sources.yahoo.session import YahooSession, open_yahoo_session
from spark_app.sources.yahoo.source import YahooSource
from tests.emulator import Bar, Holding, Market, Quote, Snapshot, YahooEmulator

THU, FRI, MON, TUE = (dt.date(2024, 3, day) for day in (7, 8, 11, 12))
CLOSE_OF_TUE = dt.datetime(2024, 3, 12, 20, tzinfo=dt.UTC)
# 2024-03-13 02:00 in UTC is still the evening of the 12th in New York.
NOW = dt.datetime(2024, 3, 13, 2, tzinfo=dt.UTC)


class CountingLimiter:
    """Counts slots, without a pause; closes for good at a report."""

    def __init__(self) -> None:
        self.slots = 0
        self.reports: list[str] = []

    def acquire(self) -> None:
        if self.reports:
            raise RateLimitedError(self.reports[0])
        self.slots += 1

    def report_rate_limit(self, message: str, *, retry_after_seconds: float = 0.0) -> None:
        self.reports.append(message)


def bar(day: dt.date, close: float | None, volume: int | None = 100) -> Bar:
    return Bar(day, close, close, close, close, close, volume)


def make_market(tickers: Iterable[str] = ("XLK", "XLV", "AAPL")) -> Market:
    tickers = tuple(tickers)
    bars = {ticker: [bar(day, 10.0 + i) for i, day in enumerate((THU, FRI, MON, TUE))] for ticker in tickers}
    holdings = (Holding("AAPL", "APPLE INC", 60.0), Holding("BRK.B", "BERKSHIRE", 39.5), Holding("-", "US DOLLAR", 0.5))
    funds = {ticker: Snapshot(MON, holdings) for ticker in tickers if ticker.startswith("XL")}
    quotes = {ticker: Quote(10**12 + i, 13.0, CLOSE_OF_TUE, f"{ticker} Inc.") for i, ticker in enumerate(tickers)}
    return Market(bars=bars, holdings=funds, quotes=quotes)


def make_source(
    emulator: YahooEmulator,
    *,
    limiter: Limiter | None = None,
    sleep: Callable[[float], None] = lambda seconds: None,
    max_retries: int = 0,
    timeout_seconds: float = 5.0,
    holdings_provider: str = "yahoo",
    skipped_holdings_percent: float = 5.0,
) -> YahooSource:
    config = SourceConfig(
        "yahoo",
        endpoint=emulator.url,
        timeout_seconds=timeout_seconds,
        max_retries=max_retries,
        skipped_holdings_percent=skipped_holdings_percent,
        holdings_provider=holdings_provider,
        holdings_url=emulator.url + "/holdings-daily-us-en-{ticker}.xlsx",
    )
    return YahooSource(config, open_session(emulator, limiter, timeout_seconds), clock=lambda: NOW, sleep=sleep)


def open_session(emulator: YahooEmulator, limiter: Limiter | None, timeout_seconds: float) -> YahooSession:
    return open_yahoo_session(limiter or CountingLimiter(), endpoint=emulator.url, timeout_seconds=timeout_seconds)


def chart(ticker: str, first: dt.date = THU, last: dt.date = TUE) -> FetchRequest:
    return FetchRequest(Kind.CHART, (ticker,), first, last)


def holdings(ticker: str) -> FetchRequest:
    return FetchRequest(Kind.HOLDINGS, (ticker,))


def quotes(*tickers: str) -> FetchRequest:
    return FetchRequest(Kind.QUOTE, tickers)


Edit = Callable[[Any], Any]


def parent(payload: Any, path: Sequence[Any]) -> Any:
    """The part of an answer that has the last key of `path`."""
    return functools.reduce(operator.getitem, path[:-1], payload)


def put(value: Any, *path: Any) -> Edit:
    """An edit of an answer: the value at `path` becomes another one."""

    def edit(payload: Any) -> Any:
        parent(payload, path)[path[-1]] = value
        return payload

    return edit


def drop(*path: Any) -> Edit:
    """An edit of an answer: the key at `path` goes."""

    def edit(payload: Any) -> Any:
        del parent(payload, path)[path[-1]]
        return payload

    return edit
