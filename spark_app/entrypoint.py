"""From argv to exit code: what all stage jobs share.

Arguments are read before anything heavy is imported, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import functools
import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from spark_app.arguments import (
    build_backfill_parser,
    build_cache_parser,
    build_parser,
    build_staggered_parser,
    resume_command,
    settings_overrides,
)
from spark_app.errors import RunInterruptedError, SparkAppError, UsageError, first_exit_code

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_app.settings import Settings
    from spark_app.stages.context import RunRequest, StageContext, StageReport
    from spark_app.stages.staggered import StaggeredPlan
    from spark_app.storage.database import Database

logger = logging.getLogger("spark_app")


@dataclass(frozen=True)
class Job:
    """One call of a job: its name and arguments, and the reports of the stages that it ran."""

    name: str
    argv: Sequence[str]
    arguments: argparse.Namespace
    reports: list[StageReport] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """A job at work: its settings, its database, the session that it works for, and when it began."""

    job: Job
    settings: Settings
    spark: SparkSession
    database: Database
    as_of: dt.date
    now: dt.datetime


def run_job(name: str, description: str | None, stages: Sequence[str], argv: Sequence[str] | None = None) -> int:
    """Run stages in one Spark application; returns the exit code (see spark_app/errors.py)."""
    parser = build_parser(name, description or "", stages)
    return _run_job(name, parser, argv, lambda run: _run_pending(run, stages))


def run_backfill(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Bring the funds' prices of many sessions up to date; returns the exit code."""
    parser = build_backfill_parser(name, description or "")
    return _run_job(name, parser, argv, lambda run: _run_stages(run, [name]))


def run_staggered_backfill(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Bring the sector funds' prices up to date, one at a time and minutes apart; returns the exit code."""
    return _run_job(name, build_staggered_parser(name, description or ""), argv, _run_staggered)


def run_cache(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Show what is cached, or let some of it be forgotten; returns the exit code."""
    return _run_job(name, build_cache_parser(name, description or ""), argv, _show_cache)


def _run_job(name: str, parser: argparse.ArgumentParser, argv: Sequence[str] | None, work: Callable[[Run], int]) -> int:
    words = sys.argv[1:] if argv is None else argv
    job = Job(name, words, parser.parse_args(words))
    logging.basicConfig(level=logging.ERROR, format="%(message)s", stream=sys.stdout)
    logger.setLevel(logging.INFO)
    # Spark writes each refused query here once more, as JSON.
    logging.getLogger("DataFrameQueryContextLogger").setLevel(logging.CRITICAL)
    # Written first without a result: an unwritable place is refused before anything is done.
    if refused := _guarded(name, lambda: _write_json(job, None)):
        return refused
    exit_code = _guarded(name, lambda: _open_run(job, work))
    written = _guarded(name, lambda: _write_json(job, exit_code))
    return exit_code or written


def _guarded(name: str, action: Callable[[], int]) -> int:
    """Run an action; what it raises becomes a sentence on stderr and an exit code."""
    try:
        return action()
    except SparkAppError as error:
        _complain(name, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain(name, "interrupted; run it again to go on")
        return RunInterruptedError.exit_code
    except Exception:
        logger.exception("%s: unexpected error", name)
        return SparkAppError.exit_code


def _open_run(job: Job, work: Callable[[Run], int]) -> int:
    """Open what a run needs and let `work` do it; 0 without it where the day has no session."""
    from spark_app.settings import load_settings

    settings = load_settings(config_file=job.arguments.config, overrides=settings_overrides(job.arguments))
    with contextlib.ExitStack() as resources, ThreadPoolExecutor() as beside:
        # Making the session keeps the JVM busy, importing the rest and preparing the database Python: both at once.
        preparing = beside.submit(_prepare, job, settings, resources)
        spark = resources.enter_context(_session(job.name))
        if "delay" in job.arguments:
            beside.submit(_warm_up, spark, settings)
        prepared = preparing.result()
        return work(Run(job, settings, spark, *prepared)) if prepared else 0


def _prepare(
    job: Job, settings: Settings, resources: contextlib.ExitStack
) -> tuple[Database, dt.date, dt.datetime] | None:
    """Find the as-of session and bring the database up to date, which runs until `resources` are closed."""
    from spark_app.settings import load_database_settings
    from spark_app.stages.run import prepare
    from spark_app.storage.database import open_database, parse_url

    now = dt.datetime.now(dt.UTC)
    as_of = _as_of_session(job.name, job.arguments.as_of, now)
    if as_of is None:
        return None
    named = load_database_settings()
    database = resources.enter_context(open_database(named))
    prepare(database, settings, admin=parse_url(named.admin_url.get_secret_value()) if named.admin_url else None)
    return database, as_of, now


@contextlib.contextmanager
def _session(name: str) -> Iterator[SparkSession]:
    from spark_app.session import build_session
    from spark_app.settings import app_home

    # Spark makes this folder at its start, by default wherever the user happens to be.
    spark = build_session(name, extra={"spark.sql.warehouse.dir": str(app_home() / "warehouse")})
    try:
        yield spark
    finally:
        spark.stop()


def _warm_up(spark: SparkSession, settings: Settings) -> None:
    from spark_app.stages.warm_up import warm_up

    warm_up(spark, settings)


def _run_pending(run: Run, stages: Sequence[str]) -> int:
    """Run the stages that are not done yet.

    A date that was named, or --force, is worked on again; a scheduled run only does what is left.
    """
    from spark_app.stages.run import pending_stages

    if run.job.arguments.force or run.job.arguments.as_of is not None:
        return _run_stages(run, stages)
    pending = pending_stages(run.database, run.settings, _request(run), stages)
    if not pending:
        logger.info("%s: %s is done already: nothing to do (--force does it again)", run.job.name, run.as_of)
        return 0
    return _run_stages(run, pending)


def _run_stages(run: Run, stages: Sequence[str]) -> int:
    from spark_app.stages.run import run_stage

    with _open_context(run) as context:
        for stage in stages:
            if context.stopping.is_set():
                raise RunInterruptedError(f"interrupted before {stage}; go on with: {context.request.resume_command}")
            report = run_stage(context, stage)
            run.job.reports.append(report)
            if report.exit_code:
                _complain(stage, report.message)
                return report.exit_code
    return 0


def _run_staggered(run: Run) -> int:
    from spark_app.stages.staggered import StaggeredPlan, plan_tickers, run_plan, without_complete

    arguments, name = run.job.arguments, run.job.name
    tickers = plan_tickers(arguments.tickers, arguments.start_from)
    delay = dt.timedelta(minutes=arguments.delay_minutes)
    if arguments.dry_run and not arguments.skip_existing:
        return _show(StaggeredPlan(tickers, delay))
    with _open_context(run) as context:
        if arguments.skip_existing:
            tickers = without_complete(context, tickers)
        plan = StaggeredPlan(tickers, delay)
        _show(plan)
        if arguments.dry_run:
            return 0
        for ticker, report in run_plan(context, plan, functools.partial(_resume_from, run)):
            run.job.reports.append(report)
            if report.exit_code:
                _complain(f"{name} {ticker}", report.message)
    return first_exit_code([report.exit_code for report in run.job.reports])


def _show_cache(run: Run) -> int:
    from spark_app.stages.cache_list import draw_cache, forget, list_cache

    arguments = run.job.arguments
    with _open_context(run) as context:
        cached = list_cache(context)
        if not arguments.forget and not arguments.forget_all:
            logger.info("%s", draw_cache(context, cached))
            return 0
        forgotten = forget(context, cached, arguments.forget.split(",") if arguments.forget else None)
    logger.info("forgotten: %s", ", ".join(forgotten) or "nothing was cached")
    return 0


def _resume_from(run: Run, ticker: str) -> str:
    return resume_command(run.job.name, run.job.argv, run.as_of, start_from=ticker)


def _show(plan: StaggeredPlan) -> int:
    for line in plan.lines(dt.datetime.now(dt.UTC)):
        logger.info("%s", line)
    return 0


@contextlib.contextmanager
def _open_context(run: Run) -> Iterator[StageContext]:
    """Put together what stages work with; from here on a signal asks the run to stop instead of killing it."""
    from spark_app.interruption import Interruption
    from spark_app.stages.run import start

    interruption = Interruption()
    with interruption.watching(run.spark):
        yield start(run.spark, run.database, run.settings, _request(run), interruption.stopping)


def _request(run: Run) -> RunRequest:
    from spark_app.stages.context import RunRequest, new_run_id

    arguments = run.job.arguments
    return RunRequest(
        run_id=new_run_id(run.now),
        as_of=run.as_of,
        now=run.now,
        days=getattr(arguments, "days", 21),
        universe=getattr(arguments, "universe", "trending"),
        tickers=getattr(arguments, "tickers", None),
        refresh=getattr(arguments, "refresh", False),
        force=getattr(arguments, "force", False),
        one_at_a_time=getattr(arguments, "no_batch", False),
        resume_command=resume_command(run.job.name, run.job.argv, run.as_of),
    )


def _as_of_session(name: str, asked: dt.date | None, now: dt.datetime) -> dt.date | None:
    """The session to work for; None where the asked day has none, which is said."""
    from spark_app import market_calendar

    last = market_calendar.last_completed_session(now)
    if asked is None:
        return last
    if asked > now.date() or (asked > last and market_calendar.is_session(asked)):
        raise UsageError(f"--as-of {asked} is not over yet: the last completed session is {last}")
    session = market_calendar.session_on_or_before(asked)
    if session != asked:
        logger.info("%s: %s is no session, the one before it is %s: nothing to do", name, asked, session)
        return None
    return session


def _complain(name: str, sentence: str) -> None:
    print(f"{name}: {sentence}", file=sys.stderr)


def _write_json(job: Job, exit_code: int | None) -> int:
    """Write the summary where one was asked for; returns 0.

    Raises: UsageError: the place cannot be written.
    """
    file = job.arguments.json
    if file is not None:
        summary = {"job": job.name, "exit_code": exit_code, "stages": [asdict(report) for report in job.reports]}
        try:
            Path(file).write_text(json.dumps(summary, default=str, indent=2) + "\n")
        except OSError as error:
            raise UsageError(f"--json {file}: cannot write: {error.strerror}") from error
    return 0
