"""The staggered backfill: the sector funds one at a time, minutes apart."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from spark_app.errors import (
    DataIncompleteError,
    RateLimitedError,
    RunInterruptedError,
    ServiceUnavailableError,
    UsageError,
    first_exit_code,
)
from spark_app.ingestion.charts import missing_bars
from spark_app.operations import STAGGERED_BACKFILL
from spark_app.pipeline.execution import run_stage
from spark_app.pipeline.preparation import prepare_staging
from spark_app.pipeline.request import Request, new_run_id, resume_command
from spark_app.pipeline.result import StageReport, StageResult
from spark_app.pipeline.run import Run
from spark_app.stages.stage1_etf_ohlc import collect_funds
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
        """Say when each fund will be fetched, the first one at `start`."""
        if not self.tickers:
            return ["nothing to do: no sector is left"]
        planned = [f"{start + place * self.delay:%Y-%m-%d %H:%M:%S} UTC  {t}" for place, t in enumerate(self.tickers)]
        apart = f"{self.delay.total_seconds() / 60:g} minutes apart"
        return [f"{len(self.tickers)} sectors, {apart}, {self.sessions} sessions each, to {self.as_of}", *planned]


def show_plan(request: Request) -> bool:
    """Show the plan of a dry run where it does not depend on staging; returns whether that was all."""
    if not request.dry_run or request.skip_existing:
        return False
    _log_plan(plan_of(request), is_dry_run=True)
    return True


def run_plan(run: Run) -> int:
    """Fetch and serve one fund after the other, minutes apart; returns the exit code.

    Raises: RunInterruptedError: the run was asked to stop.
    """
    prepare_staging(run)
    plan, reports = plan_of(run.request), run.summary.reports
    if run.request.skip_existing:
        plan = without_complete(run, plan)
    _log_plan(plan, is_dry_run=run.request.dry_run)
    if run.request.dry_run:
        return 0
    try:
        for ticker, report in run_funds(run, plan):
            if report.exit_code not in (0, RunInterruptedError.exit_code):
                logger.error("%s %s: %s", STAGGERED_BACKFILL.name, ticker, report.message)
    finally:
        if again := ",".join(tickers_to_repeat(plan, reports)):
            command = _resume(run, tickers=again)
            logger.error("%s: %s", STAGGERED_BACKFILL.name, f"failed: {again}; run them again with: {command}")
    return exit_code_of(reports)


def run(run: Run) -> StageResult:
    """Collect daily prices of the fund that the request names."""
    return collect_funds(run, run.request.tickers or ())


def plan_of(request: Request) -> StaggeredPlan:
    """Return the plan that the request asks for.

    Raises: UsageError: it leaves no fund.
    """
    tickers = plan_tickers(request.tickers, request.start_from)
    return StaggeredPlan(tickers, dt.timedelta(minutes=request.delay_minutes), request.days, request.as_of)


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


def without_complete(run: Run, plan: StaggeredPlan) -> StaggeredPlan:
    """Skip the funds of which no bar is missing."""
    missing = missing_bars(run, plan.tickers).missing
    if complete := [ticker for ticker in plan.tickers if ticker not in missing]:
        logger.info("complete, skipped: %s", ", ".join(complete))
    return replace(plan, tickers=tuple(ticker for ticker in plan.tickers if ticker in missing))


def exit_code_of(reports: Sequence[StageReport]) -> int:
    """Return the exit code: one fund without an answer among others is missing data, not a source that is down."""
    codes = [report.exit_code for report in reports]
    if 0 in codes:
        codes = [DataIncompleteError.exit_code if _is_silent(report) else report.exit_code for report in reports]
    return first_exit_code(codes)


def tickers_to_repeat(plan: StaggeredPlan, reports: Sequence[StageReport]) -> list[str]:
    """List the failed funds that a resumed run would not fetch."""
    is_resumed = (0, RateLimitedError.exit_code, RunInterruptedError.exit_code)
    done = zip(plan.tickers, reports, strict=False)
    return [ticker for ticker, report in done if report.exit_code not in is_resumed]


def _is_silent(report: StageReport) -> bool:
    # Without a request it is something of our own that does not answer.
    return report.exit_code == ServiceUnavailableError.exit_code and report.requests > 0


def run_funds(run: Run, plan: StaggeredPlan) -> Iterator[tuple[str, StageReport]]:
    """Fetch and serve the funds of a plan; yields each with its report.

    A fund that fails does not stop the rest, a rate limit does.

    Raises: RunInterruptedError: the run was asked to stop.
    """
    next_at = time.monotonic()
    for place, ticker in enumerate(plan.tickers):
        run.stopping.wait(max(0.0, next_at - time.monotonic()))
        if run.stopping.is_set():
            raise _interrupted(run, ticker)
        started = time.monotonic()
        logger.info("%s: sector %d of %d", ticker, place + 1, len(plan.tickers))
        report = _run_one(run, ticker)
        yield ticker, report
        if report.exit_code == RunInterruptedError.exit_code:
            raise _interrupted(run, ticker)
        if report.exit_code == RateLimitedError.exit_code:
            return
        # Where everything was cached, nothing was asked and there is nothing to wait for.
        next_at = started + plan.delay.total_seconds() * (report.requests > 0)
        if following := plan.tickers[place + 1 :]:
            _log_progress(plan, following, dt.timedelta(seconds=max(0.0, next_at - time.monotonic())))


def _interrupted(run: Run, ticker: str) -> RunInterruptedError:
    command = _resume(run, start_from=ticker)
    return RunInterruptedError(f"interrupted. To resume, run with: --start-from {ticker}, that is: {command}")


def _resume(run: Run, **options: str) -> str:
    return resume_command(STAGGERED_BACKFILL.name, run.request.words, run.as_of, **options)


def _run_one(run: Run, ticker: str) -> StageReport:
    one = run.asking(
        run_id=new_run_id(dt.datetime.now(dt.UTC)),
        tickers=(ticker,),
        one_at_a_time=True,
        resume_command=_resume(run, start_from=ticker),
    )
    return run_stage(one, STAGGERED_BACKFILL)


def _log_plan(plan: StaggeredPlan, *, is_dry_run: bool) -> None:
    for line in plan.lines(dt.datetime.now(dt.UTC)):
        logger.info("%s", line)
    if is_dry_run:
        logger.info("nothing was fetched: this is a dry run")


def _log_progress(plan: StaggeredPlan, following: Sequence[str], pause: dt.timedelta) -> None:
    next_at = dt.datetime.now(dt.UTC) + pause
    logger.info(
        "%d of %d sectors done; next %s at %s UTC, the last one at %s UTC",
        *(len(plan.tickers) - len(following), len(plan.tickers), following[0]),
        *(f"{next_at:%H:%M:%S}", f"{next_at + plan.delay * (len(following) - 1):%H:%M:%S}"),
    )
