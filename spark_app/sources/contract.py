"""What a source of market data is: requests in, typed answers out, a limiter to ask first.

This is the seam between the outside world and the pipeline. It runs in Spark's Python workers,
so everything here is plain data that can be pickled.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What is asked for."""

    CHART = "chart"
    HOLDINGS = "holdings"
    QUOTE = "quote"


class Outcome(StrEnum):
    """What became of one ticker's request."""

    OK = "ok"
    NO_DATA = "no_data"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    TRANSIENT = "transient"
    MALFORMED = "malformed"


@dataclass(frozen=True)
class FetchRequest:
    """One unit of asking: a chart or a fund's holdings of one ticker, or quotes of up to 50.

    The window (first and last session, both included) belongs to charts; others leave it None.
    """

    kind: Kind
    tickers: tuple[str, ...]
    window_start: dt.date | None = None
    window_end: dt.date | None = None


@dataclass(frozen=True)
class Bar:
    """One session of one ticker as the source gave it; None where it gave null or NaN.

    Prices in the listing's currency: split-adjusted, `adj_close_price` for dividends as well.
    `dividend` per share (0 = none); `split_ratio` new shares per old one (1 = none).
    """

    trade_date: dt.date
    open_price: float | None
    high_price: float | None
    low_price: float | None
    close_price: float | None
    adj_close_price: float | None
    volume: int | None
    dividend: float = 0.0
    split_ratio: float = 1.0


@dataclass(frozen=True)
class Holding:
    """One share held by a fund; the ticker in Yahoo's spelling (BRK-B), the weight in percent."""

    holding_ticker: str
    holding_name: str | None
    holding_percent: float


@dataclass(frozen=True)
class LeftOutHolding:
    """One row of a holdings answer that is no share: cash, a future, a money-market fund."""

    holding_ticker: str | None
    holding_name: str | None
    holding_percent: float | None
    reason: str


@dataclass(frozen=True)
class Quote:
    """Market cap in USD as reported, with the price that it belongs to.

    `quote_date` is the New York date of `quoted_at` (UTC).
    """

    quoted_at: dt.datetime
    quote_date: dt.date
    market_cap: int | None
    price: float | None
    long_name: str | None = None
    short_name: str | None = None


@dataclass(frozen=True)
class Answer:
    """What one ticker's request brought: a typed outcome and, where it is `ok`, the data.

    `message` says in a sentence what was wrong, `raw_text` is the start of the body that did not
    fit. `requests` counts HTTP requests, `seconds` the time they took; of several tickers that
    shared one request the first carries both.
    """

    ticker: str
    outcome: Outcome
    message: str | None = None
    raw_text: str | None = None
    requests: int = 0
    seconds: float = 0.0
    bars: tuple[Bar, ...] = ()
    snapshot_date: dt.date | None = None
    holdings: tuple[Holding, ...] = ()
    left_out: tuple[LeftOutHolding, ...] = ()
    quote: Quote | None = None
    provider: str = ""


def utc_now() -> dt.datetime:
    """Return the time in UTC, aware: the clock of a source unless it is given another."""
    return dt.datetime.now(dt.UTC)


class Limiter(Protocol):
    """Decides when the next HTTP request may leave. The stage hands one to the source."""

    def acquire(self) -> None:
        """Wait for the next free slot.

        Raises: RateLimitedError if the source must not be asked for now; RunInterruptedError if the run is to stop;
        ServiceUnavailableError if nobody can tell.
        """

    def note_answer(self) -> None:
        """Tell that the answer to the last request is there, so that it has left by now."""

    def report_rate_limit(self, message: str) -> None:
        """Tell everyone who shares this limiter that the source answered "too many requests"."""


class Source(Protocol):
    """Where market data comes from. One instance lives in each Python worker process."""

    def fetch(self, request: FetchRequest) -> list[Answer]:
        """Ask once and answer for every ticker of the request, in its order; never raises for bad data."""


@dataclass(frozen=True)
class SourceConfig:
    """Everything a worker needs to build its source; travels to the workers by pickle.

    `endpoint` is None for Yahoo itself, else the URL of a proxy or emulator. `sessions` are all
    trading sessions of the synthetic market, `max_retries` repeats of a transient failure.
    """

    name: str
    endpoint: str | None = None
    holdings_provider: str = "yahoo"
    holdings_url: str = ""
    timeout_seconds: float = 20.0
    max_retries: int = 3
    synthetic_seed: int = 20
    synthetic_stocks_per_sector: int = 12
    synthetic_leading_sectors: int = 2
    sessions: tuple[dt.date, ...] = field(default=(), repr=False)
