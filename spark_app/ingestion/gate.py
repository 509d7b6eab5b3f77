"""The gate of the fetching stages: whether there is enough data to serve, and how the run ends."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection
from dataclasses import dataclass

from spark_app.errors import (
    DataIncompleteError,
    RateLimitedError,
    RunInterruptedError,
    ServiceUnavailableError,
    SparkAppError,
)
from spark_app.ingestion.completeness import Completeness
from spark_app.ingestion.landing import NOT_ASKED, Landing
from spark_app.pipeline.fetch_summary import FetchSummary
from spark_app.pipeline.run import Run
from spark_app.sources.contract import ABSENT, Kind, Outcome
from spark_app.universe import BENCHMARK, FUNDS

logger = logging.getLogger(__name__)

_LEFT = (Outcome.RATE_LIMITED, NOT_ASKED)
_SILENT = (Outcome.TRANSIENT, Outcome.MALFORMED, Outcome.RATE_LIMITED, NOT_ASKED)
_LISTED = 10
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Verdict:
    """Whether rows may be served, and the failure that the run ends with, if any."""

    may_publish: bool
    failure: SparkAppError | None = None


def require_answers(
    run: Run,
    landing: Landing,
    kind: Kind,
    *,
    what: str,
    coverage: float,
    allowed_missing: int = 0,
    absent: Collection[str] = (),
) -> Verdict:
    """Require data of a fraction of the tickers.

    Args:
        what: what the tickers are, for messages.
        coverage: the required fraction.
        allowed_missing: the number of tickers that `_is_allowed` lets miss.
        absent: the tickers of which it is confirmed that there is no data; they do not count.
    """
    summary = landing.summary(kind)
    silent = [ticker for ticker in summary.tickers_with(*_SILENT, *ABSENT) if ticker not in absent]
    shortfall = None
    asked = summary.asked - len(absent)
    is_short = len(silent) > (1 - coverage) * asked + _ROUNDING
    if is_short and not _is_allowed(silent, asked, coverage, allowed_missing):
        shortfall = DataIncompleteError(f"{_listed(summary, silent, what)}; what was fetched is kept: run it again")
    return _verdict(run, landing, summary, what, shortfall)


def require_bars(
    run: Run,
    landing: Landing,
    completeness: Completeness,
    counted: Collection[str],
    *,
    what: str,
    coverage: float,
    allowed_missing: int = 0,
) -> Verdict:
    """Require a fraction of the bars that the exchange calendar promises.

    Args:
        counted: the tickers whose bars count; the benchmark, where it is one of them, may miss none.
        what: what the tickers are, for messages.
        coverage: the required fraction of the promised bars.
        allowed_missing: the number of tickers that `_is_allowed` lets miss.
    """
    summary = landing.summary(Kind.CHART)
    covered = completeness.coverage(counted)
    benchmark_misses = BENCHMARK in counted and BENCHMARK in completeness.missing
    incomplete = [ticker for ticker in counted if ticker in completeness.missing]
    is_covered = covered >= coverage - _ROUNDING or _is_allowed(incomplete, len(counted), coverage, allowed_missing)
    if is_covered and not benchmark_misses:
        return _verdict(run, landing, summary, what, None)
    failed = [ticker for ticker in summary.tickers_with(*_SILENT, *ABSENT) if ticker not in completeness.absent]
    without_data = f" ({_listed(summary, failed, what)})" if failed else ""
    percent = f"{covered:.1%} of the bars of {len(counted)} {what} are there and {coverage:.1%} are needed"
    needed = f"{BENCHMARK} must miss none" if benchmark_misses else percent
    shortfall = DataIncompleteError(
        f"bars are missing: {completeness.describe(counted)}; {needed}{without_data}{_closure(completeness, counted)};"
        " what was fetched is kept: run it again"
    )
    return _verdict(run, landing, summary, what, shortfall)


def _is_allowed(missing: Collection[str], asked: int, coverage: float, allowed_missing: int) -> bool:
    """Whether so few tickers miss data that the fraction does not count: 1 of 18 is more than one in twenty.

    A fraction of 1 requires all; neither all tickers nor the benchmark may miss.
    """
    return coverage < 1 and len(missing) <= allowed_missing and len(missing) < asked and BENCHMARK not in missing


def _closure(completeness: Completeness, counted: Collection[str]) -> str:
    """Name the one day of which the benchmark and all other funds miss the bar: the exchange may have been closed."""
    if BENCHMARK not in counted or len(counted) < len(FUNDS):
        return ""
    missed = set.intersection(*(set(completeness.missing.get(ticker, ())) for ticker in counted))
    return f"; if the exchange was closed on {missed.pop()}, add it to calendar.closures" if len(missed) == 1 else ""


def _verdict(run: Run, landing: Landing, summary: FetchSummary, what: str, shortfall: SparkAppError | None) -> Verdict:
    """Judge a run that has a shortfall of data or, with None, has enough of it."""
    if stopped := _stopped(run, landing, summary, what):
        return Verdict(shortfall is None, stopped)
    if nothing := _nothing(summary, what):
        return Verdict(False, nothing)
    return Verdict(shortfall is None, shortfall)


def _stopped(run: Run, landing: Landing, summary: FetchSummary, what: str) -> SparkAppError | None:
    """The failure of a run that ended before everything was fetched; the remaining tickers are logged."""
    if not (left := summary.tickers_with(*_LEFT)):
        return None
    logger.info("%d of %d %s remain: %s", len(left), summary.asked, what, ", ".join(left))
    done, command = f"{len(summary.answered)} of {summary.asked} {what} done", run.request.resume_command
    if landing.is_interrupted:
        return RunInterruptedError(f"interrupted: {done}; resume with: {command}")
    if landing.is_rate_limited:
        resume_at, reason = landing.blocked or (dt.datetime.now(dt.UTC), "")
        state = f"{done}, nothing was fetched" if not summary.requests else done
        because = f" ({reason})" if reason else ""
        return RateLimitedError(
            f"rate limited: {state}{because}; resume after {resume_at:%Y-%m-%dT%H:%M:%SZ} with: {command}",
            resume_at=resume_at,
        )
    return None


def _nothing(summary: FetchSummary, what: str) -> SparkAppError | None:
    """The failure of a run without any answer."""
    if summary.answered or not summary.failed:
        return None
    silent = summary.tickers_with(*_SILENT)
    if len(silent) < len(summary.failed):
        return DataIncompleteError(f"{_listed(summary, sorted(summary.failed), what)}; nothing was served")
    _, message = summary.failed[silent[0]]
    return ServiceUnavailableError(f"no data for any of {summary.asked} {what}: {message}")


def _listed(summary: FetchSummary, tickers: list[str], what: str) -> str:
    shown = [f"{t} ({summary.failed[t][0]}: {summary.failed[t][1]})" for t in tickers[:_LISTED]]
    more = f" and {len(tickers) - _LISTED} more" if len(tickers) > _LISTED else ""
    return f"no data for {len(tickers)} of {summary.asked} {what}: {', '.join(shown)}{more}"
