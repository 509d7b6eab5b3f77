"""The staggered backfill: the sector funds one at a time, minutes apart."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from spark_app.errors import RateLimitedError, RunInterruptedError
from spark_app.funds import STAGGERED_FUNDS
from spark_app.stages.bars import missing_bars
from spark_app.stages.context import StageContext, StageReport, new_run_id
from spark_app.stages.etf_ohlc import STAGGERED
from spark_app.stages.run import run_stage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StaggeredPlan:
    """Which funds are fetched, in their order, and the time from the start of one to that of the next."""

    tickers: tuple[str, ...]
    delay: dt.timedelta

    def lines(self, start: dt.datetime) -> list[str]:
        """Say when each fund will be asked for, where the first one is at `start`."""
        planned = [f"{start + place * self.delay:%Y-%m-%d %H:%M:%S} UTC  {t}" for place, t in enumerate(self.tickers)]
        return [f"{len(self.tickers)} sectors, {self.delay.total_seconds() / 60:g} minutes apart", *planned]


def plan_tickers(tickers: Sequence[str] | None, start_from: str | None) -> tuple[str, ...]:
    """List the funds to fetch, in the order of the staggered backfill, from `start_from` on."""
    chosen = [ticker for ticker in STAGGERED_FUNDS if tickers is None or ticker in tickers]
    if start_from is None:
        return tuple(chosen)
    first = STAGGERED_FUNDS.index(start_from)
    return tuple(ticker for ticker in chosen if STAGGERED_FUNDS.index(ticker) >= first)


def without_complete(context: StageContext, tickers: Sequence[str]) -> tuple[str, ...]:
    """Leave out the funds that have every bar of the sessions asked for."""
    missing = missing_bars(context, tickers).missing
    for ticker in tickers:
        if ticker not in missing:
            logger.info("%s: its %d sessions are there already, left out", ticker, context.request.days)
    return tuple(ticker for ticker in tickers if ticker in missing)


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
        started = time.monotonic()
        report = None if context.stopping.is_set() else _run_one(context, ticker, resume_from(ticker))
        if report is None or report.exit_code == RunInterruptedError.exit_code:
            raise RunInterruptedError(
                f"interrupted. To resume, run with: --start-from {ticker}, that is: {resume_from(ticker)}"
            )
        yield ticker, report
        if report.exit_code == RateLimitedError.exit_code:
            return
        # Where staging had it all, nobody was asked and there is nothing to wait for.
        next_at = started + plan.delay.total_seconds() * (report.requests > 0)
        if following := plan.tickers[place + 1 :]:
            _log_progress(plan, following, dt.timedelta(seconds=max(0.0, next_at - time.monotonic())))


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
        "%d/%d sectors; next %s at %s UTC, the last one at %s UTC",
        *(len(plan.tickers) - len(following), len(plan.tickers), following[0]),
        *(f"{next_at:%H:%M:%S}", f"{next_at + plan.delay * (len(following) - 1):%H:%M:%S}"),
    )
