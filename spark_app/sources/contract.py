"""The interface of a source of market data: requests in, typed answers out, a limiter before each HTTP request.

Sources run in Spark's Python workers, so everything here is plain data that can be pickled.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

SKIPPED_HOLDINGS_PERCENT = 5.0
"""The largest weight of a fund in skipped rows, unless the settings say otherwise."""


class Kind(StrEnum):
    """The kind of data that is requested."""

    CHART = "chart"
    HOLDINGS = "holdings"
    QUOTE = "quote"


class Outcome(StrEnum):
    """The result of the request of one ticker."""

    OK = "ok"
    NO_DATA = "no_data"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    TRANSIENT = "transient"
    MALFORMED = "malformed"


ABSENT = (Outcome.NOT_FOUND, Outcome.NO_DATA)
"""The outcomes of an answer that says there is no data; it may be wrong."""


@dataclass(frozen=True)
class FetchRequest:
    """One request: the chart or the holdings of one ticker, or the quotes of up to 50.

    The window (first and last session, both included) is required for charts and ignored for quotes; the holdings of
    the synthetic market are those of `window_end`.
    """

    kind: Kind
    tickers: tuple[str, ...]
    window_start: dt.date | None = None
    window_end: dt.date | None = None


@dataclass(frozen=True)
class Bar:
    """One session of one ticker as the source gave it; None where it gave null or NaN.

    Prices are in the currency of the listing and adjusted for splits, `adj_close_price` for dividends as well.
    `dividend` is per share (0 = none), `split_ratio` new shares per old share (1 = none).
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
    """One share in a fund: the ticker in Yahoo's spelling (BRK-B), the weight in percent."""

    holding_ticker: str
    holding_name: str | None
    holding_percent: float


@dataclass(frozen=True)
class SkippedHolding:
    """A skipped row of a holdings answer, which is not a share: cash, a future, a money-market fund."""

    holding_ticker: str | None
    holding_name: str | None
    holding_percent: float | None
    reason: str


@dataclass(frozen=True)
class Quote:
    """The market cap in USD as reported, and the price at the same time.

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
    """The answer for one ticker: a typed outcome and, where it is `ok`, the data.

    `message` is a sentence for people about what was wrong, also with an answer that parsed only partially; `raw_text`
    the start of the body or the skipped rows. `requests` counts HTTP requests, `seconds` is their duration; of several
    tickers that share one request the first carries both.
    `covered_from` is the first date that a chart covers, None where it covers its window from the start.
    """

    ticker: str
    outcome: Outcome
    message: str | None = None
    raw_text: str | None = None
    requests: int = 0
    seconds: float = 0.0
    bars: tuple[Bar, ...] = ()
    covered_from: dt.date | None = None
    snapshot_date: dt.date | None = None
    holdings: tuple[Holding, ...] = ()
    skipped: tuple[SkippedHolding, ...] = ()
    quote: Quote | None = None
    provider: str = ""


CLOCK_TOLERANCE = dt.timedelta(hours=1)
"""How far a clock may be ahead; those of a cluster's machines may differ."""


def utc_now() -> dt.datetime:
    """Return the time in UTC, aware: the clock of a source unless it is given another."""
    return dt.datetime.now(dt.UTC)


class Limiter(Protocol):
    """Decides when the next HTTP request may be sent."""

    def acquire(self) -> None:
        """Wait for the next free slot.

        Raises: RateLimitedError while requests are blocked; RunInterruptedError if the run is to stop;
        ServiceUnavailableError if the limiter's database does not respond.
        """

    def report_rate_limit(self, message: str, *, retry_after_seconds: float = 0.0) -> None:
        """Block all users of this limiter: the source answered "too many requests".

        The block lasts at least `retry_after_seconds`, what the source asks for (0 = nothing).
        """


class Source(Protocol):
    """A source of market data; each Python worker process has one instance."""

    def fetch(self, request: FetchRequest) -> list[Answer]:
        """Return one answer per ticker of the request, in its order; bad data is an outcome, not an error."""


@dataclass(frozen=True)
class SourceConfig:
    """What a worker needs to build its source; pickled to the workers.

    `endpoint` is None for Yahoo itself, else the URL of a proxy or emulator. `sessions` are all
    trading sessions of the synthetic market, `max_retries` the retries of a transient failure,
    `skipped_holdings_percent` the largest weight of a fund in skipped rows. `closures` and `extra_sessions` correct
    the worker's calendar as they do the driver's.
    """

    name: str
    endpoint: str | None = None
    holdings_provider: str = "yahoo"
    holdings_url: str = ""
    timeout_seconds: float = 20.0
    max_retries: int = 3
    skipped_holdings_percent: float = SKIPPED_HOLDINGS_PERCENT
    synthetic_seed: int = 20
    synthetic_stocks_per_sector: int = 12
    synthetic_leading_sectors: int = 2
    sessions: tuple[dt.date, ...] = field(default=(), repr=False)
    closures: tuple[dt.date, ...] = ()
    extra_sessions: tuple[dt.date, ...] = ()
