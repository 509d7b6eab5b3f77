"""Run the staggered backfill, or show its plan."""

from __future__ import annotations

import datetime as dt
import functools
import logging
from typing import TYPE_CHECKING

from spark_app.cli.job import Job, Run, complain
from spark_app.cli.opening import open_run
from spark_app.cli.parser import resume_command, settings_overrides
from spark_app.cli.request import as_of_session, context_of
from spark_app.errors import RunInterruptedError

if TYPE_CHECKING:
    from spark_app.operations.staggered_sector_backfill import StaggeredPlan

logger = logging.getLogger("spark_app")


def run_staggered(job: Job) -> int:
    """Show the plan where no more is asked for and staging has no say in it; else run it."""
    from spark_app.config.settings import load_settings

    arguments = job.arguments
    if not arguments.dry_run or arguments.skip_existing:
        return open_run(job, _run_plan)
    load_settings(config_file=arguments.config, overrides=settings_overrides(arguments))
    as_of = as_of_session(job.name, arguments.as_of, dt.datetime.now(dt.UTC))
    return _show(_plan(job, as_of), asks=False) if as_of else 0


def _run_plan(run: Run) -> int:
    from spark_app.operations.staggered_sector_backfill import (
        exit_code_of,
        run_plan,
        tickers_to_repeat,
        without_complete,
    )

    job, reports, context = run.job, run.job.reports, context_of(run)
    plan = _plan(job, run.as_of)
    if job.arguments.skip_existing:
        plan = without_complete(context, plan)
    _show(plan, asks=not job.arguments.dry_run)
    if job.arguments.dry_run:
        return 0
    try:
        for ticker, report in run_plan(context, plan, functools.partial(_resume_from, run)):
            reports.append(report)
            if report.exit_code not in (0, RunInterruptedError.exit_code):
                complain(f"{job.name} {ticker}", report.message)
    finally:
        if again := ",".join(tickers_to_repeat(plan, reports)):
            command = resume_command(job.name, job.argv, run.as_of, tickers=again)
            complain(job.name, f"failed: {again}; once more with: {command}")
    return exit_code_of(reports)


def _plan(job: Job, as_of: dt.date) -> StaggeredPlan:
    from spark_app.operations.staggered_sector_backfill import StaggeredPlan, plan_tickers

    arguments = job.arguments
    tickers = plan_tickers(arguments.tickers, arguments.start_from)
    return StaggeredPlan(tickers, dt.timedelta(minutes=arguments.delay_minutes), arguments.days, as_of)


def _resume_from(run: Run, ticker: str) -> str:
    return resume_command(run.job.name, run.job.argv, run.as_of, start_from=ticker)


def _show(plan: StaggeredPlan, *, asks: bool) -> int:
    for line in plan.lines(dt.datetime.now(dt.UTC)):
        logger.info("%s", line)
    if not asks:
        logger.info("nothing was asked: this is a dry run")
    return 0
