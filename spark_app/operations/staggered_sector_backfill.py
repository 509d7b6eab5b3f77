"""The staggered backfill: the sector funds one at a time, minutes apart."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from spark_app.errors import (
    DataIncompleteError,
    RateLimitedError,
    RunInterruptedError,
    ServiceUnavailableError,
    UsageError,
    first_exit_code,
)
from spark_app.ingestion.bars import missing_bars
from spark_app.pipeline.context import StageContext, StageReport, new_run_id
from spark_app.pipeline.execution import run_stage
from spark_app.stages.stage1_etf_ohlc import STAGGERED
from spark_app.universe import STAGGERED_FUNDS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StaggeredPlan:
    """Which funds are fetched, in their order, and the time from the start of one to that of the next.

    Each gets the `sessions` sessions that end with `as_of`.
    """

    tickers: tuple[str, ...]
    delay: dt.timedelta
    sessions: int
    as_of: dt.date

    def lines(self, start: dt.datetime) -> list[str]:
        """Say when each fund will be asked for, where the first one is at `start`."""
        if not self.tickers:
            return ["nothing to do: no sector is left"]
        planned = [f"{start + place * self.delay:%Y-%m-%d %H:%M:%S} UTC  {t}" for place, t in enumerate(self.tickers)]
        apart = f"{self.delay.total_seconds() / 60:g} minutes apart"
        return [f"{len(self.tickers)} sectors, {apart}, {self.sessions} sessions each, to {self.as_of}", *planned]


def plan_tickers(tickers: Sequence[str] | None, start_from: str | None) -> tuple[str, ...]:
    """List the funds to fetch, in the order of the staggered backfill, from `start_from` on.

    Raises: UsageError: that leaves none.
    """
    chosen = [ticker for ticker in STAGGERED_FUNDS if tickers is None or ticker in tickers]
    first = STAGGERED_FUNDS.index(start_from) if start_from else 0
    left = tuple(ticker for ticker in chosen if STAGGERED_FUNDS.index(ticker) >= first)
    if not left:
        raise UsageError(f"--start-from {start_from}: {', '.join(chosen)} all come before it")
    return left


def without_complete(context: StageContext, plan: StaggeredPlan) -> StaggeredPlan:
    """Leave out the funds that have every bar of the sessions asked for."""
    missing = missing_bars(context, plan.tickers).missing
    if complete := [ticker for ticker in plan.tickers if ticker not in missing]:
        logger.info("complete, left out: %s", ", ".join(complete))
    return dataclasses.replace(plan, tickers=tuple(ticker for ticker in plan.tickers if ticker in missing))


def exit_code_of(reports: Sequence[StageReport]) -> int:
    """Return what the run ends with: one silent fund among others that came is missing data, no source that is down."""
    codes = [report.exit_code for report in reports]
    if 0 in codes:
        codes = [DataIncompleteError.exit_code if _is_silent(report) else report.exit_code for report in reports]
    return first_exit_code(codes)


def tickers_to_repeat(plan: StaggeredPlan, reports: Sequence[StageReport]) -> list[str]:
    """List the funds that failed and that no resumed run comes back to."""
    is_resumed = (0, RateLimitedError.exit_code, RunInterruptedError.exit_code)
    done = zip(plan.tickers, reports, strict=False)
    return [ticker for ticker, report in done if report.exit_code not in is_resumed]


def _is_silent(report: StageReport) -> bool:
    # Without a request it is something of our own that does not answer.
    return report.exit_code == ServiceUnavailableError.exit_code and report.requests > 0


def run_plan(
    context: StageContext, plan: StaggeredPlan, resume_from: Callable[[str], str]
) -> Iterator[tuple[str, StageReport]]:
    """Fetch and serve one fund after the other; yields each with its report.

    A fund that fails does not stop the rest, a rate limit does.

    Args: resume_from: gives the command that goes on with a fund.
    Raises: RunInterruptedError: the run was asked to stop.
    """
    next_at = time.monotonic()
    for place, ticker in enumerate(plan.tickers):
        context.stopping.wait(max(0.0, next_at - time.monotonic()))
        if context.stopping.is_set():
            raise _interrupted(ticker, resume_from)
        started = time.monotonic()
        logger.info("%s: sector %d of %d", ticker, place + 1, len(plan.tickers))
        report = _run_one(context, ticker, resume_from(ticker))
        yield ticker, report
        if report.exit_code == RunInterruptedError.exit_code:
            raise _interrupted(ticker, resume_from)
        if report.exit_code == RateLimitedError.exit_code:
            return
        # Where staging had it all, nobody was asked and there is nothing to wait for.
        next_at = started + plan.delay.total_seconds() * (report.requests > 0)
        if following := plan.tickers[place + 1 :]:
            _log_progress(plan, following, dt.timedelta(seconds=max(0.0, next_at - time.monotonic())))


def _interrupted(ticker: str, resume_from: Callable[[str], str]) -> RunInterruptedError:
    return RunInterruptedError(
        f"interrupted. To resume, run with: --start-from {ticker}, that is: {resume_from(ticker)}"
    )


def _run_one(context: StageContext, ticker: str, command: str) -> StageReport:
    request = dataclasses.replace(
        context.request,
        run_id=new_run_id(dt.datetime.now(dt.UTC)),
        tickers=(ticker,),
        one_at_a_time=True,
        resume_command=command,
    )
    return run_stage(dataclasses.replace(context, request=request), STAGGERED)


def _log_progress(plan: StaggeredPlan, following: Sequence[str], pause: dt.timedelta) -> None:
    next_at = dt.datetime.now(dt.UTC) + pause
    logger.info(
        "%d of %d sectors done; next %s at %s UTC, the last one at %s UTC",
        *(len(plan.tickers) - len(following), len(plan.tickers), following[0]),
        *(f"{next_at:%H:%M:%S}", f"{next_at + plan.delay * (len(following) - 1):%H:%M:%S}"),
    )
