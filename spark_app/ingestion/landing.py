"""The outcome of each ticker that was asked for: landed in `fetches`, cached there already, or not asked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from spark_app.pipeline.fetch_summary import FetchSummary
from spark_app.sources.contract import ABSENT, Kind, Outcome
from spark_app.storage.postgres.provenance import LoggedFetch
from spark_app.storage.postgres.run_log import ConsumerError

NOT_ASKED = "not_asked"
"""The outcome of a ticker that an interrupted run did not reach; it never lands."""

_NOT_ASKED = (NOT_ASKED, Outcome.RATE_LIMITED)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def moment_of(micros: int) -> dt.datetime:
    """The moment so many microseconds after 1970 (UTC); not from a float, which would round them."""
    return _EPOCH + dt.timedelta(microseconds=micros)


@dataclass(frozen=True)
class LandedTicker:
    """The outcome of one ticker.

    Attributes:
        rows: bars, holdings or quotes in the answer.
        left_out: rows of a holdings answer that are no shares.
        is_cached: an earlier fetch answers, nothing was asked.
        window_start: the first date that a chart covers.
        fetched_on: the day (New York) of the fetch, None where nothing was fetched.
        fetched_micros: the moment of the fetch, in microseconds since 1970, None where nothing was fetched.
        quote_date: the date of a quote.
        first_date, last_date: of the fetched bars, snapshot or quote.
    """

    kind: str
    ticker: str
    outcome: str
    message: str | None = None
    raw_text: str | None = None
    requests: int = 0
    snapshot_date: dt.date | None = None
    rows: int = 0
    left_out: int = 0
    is_cached: bool = False
    window_start: dt.date | None = None
    fetched_on: dt.date | None = None
    fetched_micros: int | None = None
    source: str | None = None
    quote_date: dt.date | None = None
    first_date: dt.date | None = None
    last_date: dt.date | None = None

    def logged(self, run_id: str) -> LoggedFetch | None:
        """What `logs_fetch` gets, None where this run fetched nothing."""
        if self.fetched_micros is None:
            return None
        return LoggedFetch(
            ticker=self.ticker,
            kind=self.kind,
            fetched_at=moment_of(self.fetched_micros),
            run_id=run_id,
            source=self.source,
            outcome=self.outcome,
            message=self.message,
            requests=self.requests,
            rows_fetched=self.rows,
            first_date=self.first_date,
            last_date=self.last_date,
        )


@dataclass
class Landing:
    """The outcomes of an ingestion, filled wave by wave.

    `blocked` says until when the source must not be asked (UTC), and why; None where it may be.
    """

    tickers: list[LandedTicker] = field(default_factory=list)
    blocked: tuple[dt.datetime, str] | None = None
    is_interrupted: bool = False

    @classmethod
    def of(cls, parts: Iterable[Landing]) -> Landing:
        """Put the outcomes of several kinds together."""
        return cls([ticker for part in parts for ticker in part.tickers])

    @property
    def is_rate_limited(self) -> bool:
        return any(t.outcome == Outcome.RATE_LIMITED for t in self.tickers)

    def of_kind(self, kind: Kind) -> dict[str, LandedTicker]:
        """Each ticker of one kind with its last outcome."""
        return {t.ticker: t for t in self.tickers if t.kind == kind}

    def answered(self, kind: Kind) -> list[LandedTicker]:
        """The tickers of one kind with data, fetched or cached."""
        return [t for t in self.of_kind(kind).values() if t.outcome == Outcome.OK]

    def fetched(self, kind: Kind) -> list[str]:
        """The tickers whose data of one kind was fetched by this run."""
        return [t.ticker for t in self.answered(kind) if not t.is_cached]

    def absent(self, kind: Kind) -> list[LandedTicker]:
        """The tickers of which the source says that it has no data of one kind."""
        return [t for t in self.of_kind(kind).values() if t.outcome in ABSENT]

    def partially_parsed(self) -> list[LandedTicker]:
        """The tickers whose data was fetched by this run, and some of it skipped."""
        return [t for t in self.tickers if t.outcome == Outcome.OK and t.message and not t.is_cached]

    def summary(self, kind: Kind) -> FetchSummary:
        """Sum up one kind, with the requests of all of them."""
        last = self.of_kind(kind).values()
        return FetchSummary(
            requests=sum(t.requests for t in self.tickers),
            answered=tuple(t.ticker for t in last if t.outcome == Outcome.OK),
            failed={t.ticker: (t.outcome, t.message or "") for t in last if t.outcome != Outcome.OK},
            cached=sum(t.is_cached for t in last),
        )

    def errors(self) -> tuple[ConsumerError, ...]:
        """What was wrong with the answers, for `logs_consumer_error`; what two answers say is one error."""
        failed = [t for t in self.tickers if t.outcome != Outcome.OK and not t.is_cached]
        errors = [
            ConsumerError(f"{t.kind} of {t.ticker}: {t.outcome}: {t.message}", t.raw_text)
            for t in failed
            if t.requests or t.outcome not in _NOT_ASKED
        ]
        errors += [ConsumerError(f"{t.kind} of {t.ticker}: {t.message}", t.raw_text) for t in self.partially_parsed()]
        return tuple(dict.fromkeys(errors))

    def logged(self, run_id: str) -> tuple[LoggedFetch, ...]:
        """What this run fetched, for `logs_fetch`."""
        fetches = (ticker.logged(run_id) for ticker in self.tickers)
        return tuple(fetch for fetch in fetches if fetch is not None)

    def joined(self, later: Landing) -> Landing:
        """Both together; of a ticker that is in both the later outcome counts."""
        return Landing(
            [*self.tickers, *later.tickers],
            later.blocked or self.blocked,
            self.is_interrupted or later.is_interrupted,
        )


def without_request(kind: Kind, tickers: Sequence[str], outcome: str, message: str) -> list[LandedTicker]:
    """The outcomes of tickers that were not asked; `message` says why."""
    return [LandedTicker(kind, ticker, outcome, message) for ticker in tickers]
