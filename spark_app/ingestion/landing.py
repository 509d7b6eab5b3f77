"""What became of each ticker that a stage wanted: landed in `fetches`, held there already, or not asked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from spark_app.pipeline.fetch_summary import FetchSummary
from spark_app.sources.contract import Kind, Outcome
from spark_app.storage.postgres.run_log import ConsumerError

NOT_ASKED = "not_asked"
"""The outcome of a ticker that an interrupted run did not come to; it never lands."""

_NOT_ASKED = (NOT_ASKED, Outcome.RATE_LIMITED)


@dataclass(frozen=True)
class LandedTicker:
    """What became of one ticker's request; `rows` bars, holdings or quotes came, `left_out` were no shares.

    `is_cached`: an earlier fetch served, and nothing was asked.
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


@dataclass
class Landing:
    """Everything that a stage wanted and what came; filled wave by wave.

    `hold` says until when the source must not be asked (UTC), and why, where that is so.
    """

    tickers: list[LandedTicker] = field(default_factory=list)
    hold: tuple[dt.datetime, str] | None = None
    is_interrupted: bool = False

    @property
    def is_rate_limited(self) -> bool:
        return any(t.outcome == Outcome.RATE_LIMITED for t in self.tickers)

    def of(self, kind: Kind) -> dict[str, LandedTicker]:
        """Each ticker of one kind with its last result."""
        return {t.ticker: t for t in self.tickers if t.kind == kind}

    def came(self, kind: Kind) -> list[str]:
        """List the tickers whose data of one kind was landed just now."""
        return [t.ticker for t in self.of(kind).values() if t.outcome == Outcome.OK and not t.is_cached]

    def summary(self, kind: Kind) -> FetchSummary:
        """Sum up one kind, with the requests of all of them."""
        last = self.of(kind).values()
        return FetchSummary(
            requests=sum(t.requests for t in self.tickers),
            answered=tuple(t.ticker for t in last if t.outcome == Outcome.OK),
            failed={t.ticker: (t.outcome, t.message or "") for t in last if t.outcome != Outcome.OK},
            cached=sum(t.is_cached for t in last),
        )

    def errors(self) -> tuple[ConsumerError, ...]:
        """What was wrong with what was asked, for `logs_consumer_error`."""
        failed = [t for t in self.tickers if t.outcome != Outcome.OK and not t.is_cached]
        return tuple(
            ConsumerError(f"{t.kind} of {t.ticker}: {t.outcome}: {t.message}", t.raw_text)
            for t in failed
            if t.requests or t.outcome not in _NOT_ASKED
        ) + tuple(ConsumerError(f"{t.kind} of {t.ticker}: {t.message}", t.raw_text) for t in self.odd())

    def odd(self) -> list[LandedTicker]:
        """The tickers whose data came just now, some of it in a way that is to be told."""
        return [t for t in self.tickers if t.outcome == Outcome.OK and t.message and not t.is_cached]

    def joined(self, later: Landing) -> Landing:
        """Both together; what came later counts."""
        return Landing(
            [*self.tickers, *later.tickers],
            later.hold or self.hold,
            self.is_interrupted or later.is_interrupted,
        )


def without_request(kind: Kind, tickers: Sequence[str], outcome: str, message: str) -> list[LandedTicker]:
    """The results of tickers that were not asked; `message` says why."""
    return [LandedTicker(kind, ticker, outcome, message) for ticker in tickers]
