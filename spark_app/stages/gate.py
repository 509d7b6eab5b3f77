"""The gate of the fetching stages: has enough come to serve it, and what does the run end with."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from spark_app.errors import DataIncompleteError, RateLimitedError, ServiceUnavailableError, SparkAppError
from spark_app.sources.contract import Outcome
from spark_app.stages.context import FetchSummary, StageContext

_SILENT = (Outcome.TRANSIENT, Outcome.MALFORMED, Outcome.RATE_LIMITED)
_LISTED = 10


@dataclass(frozen=True)
class Verdict:
    """Whether what came may be served, and the failure that the run ends with, if any."""

    may_publish: bool
    failure: SparkAppError | None = None


def judge(context: StageContext, stage: str, summary: FetchSummary, *, what: str, coverage: float) -> Verdict:
    """Judge what came by the fraction of tickers that got an answer.

    That a ticker is unknown or has no data is an answer; a failure, a broken body and a rate limit are not.

    Args:
        what: the tickers in a word, for messages.
        coverage: the fraction that is needed.
    """
    silent = summary.tickers_with(*_SILENT)
    is_enough = len(silent) <= (1 - coverage) * summary.asked + 1e-9
    if summary.tickers_with(Outcome.RATE_LIMITED):
        return Verdict(is_enough, _rate_limited(context, summary, what, stage))
    if silent and len(silent) == summary.asked:
        _, message = summary.failed[silent[0]]
        return Verdict(
            False, ServiceUnavailableError(f"the source answered for none of {summary.asked} {what}: {message}")
        )
    if not summary.answered:
        missing = sorted(summary.failed)
        return Verdict(False, DataIncompleteError(f"{_listed(summary, missing, what)}; nothing was served"))
    if is_enough:
        return Verdict(True)
    return Verdict(False, DataIncompleteError(f"{_listed(summary, silent, what)}; what came is kept: run it again"))


def _rate_limited(context: StageContext, summary: FetchSummary, what: str, stage: str) -> RateLimitedError:
    pause = dt.timedelta(seconds=context.settings.fetch.rate_limit_pause_seconds)
    resume_at = dt.datetime.now(dt.UTC) + pause
    return RateLimitedError(
        f"rate limited: {len(summary.answered)} of {summary.asked} {what} done; "
        f"resume after {resume_at:%Y-%m-%dT%H:%M:%SZ} with: "
        f"./spark_jobs_launcher.sh {stage} --as-of {context.as_of}"
    )


def _listed(summary: FetchSummary, silent: list[str], what: str) -> str:
    shown = [f"{t} ({summary.failed[t][0]}: {summary.failed[t][1]})" for t in silent[:_LISTED]]
    more = f" and {len(silent) - _LISTED} more" if len(silent) > _LISTED else ""
    return f"{len(silent)} of {summary.asked} {what} brought nothing: {', '.join(shown)}{more}"
