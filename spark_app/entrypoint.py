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
    build_republish_parser,
    build_retention_parser,
    build_staggered_parser,
    build_verify_parser,
    resume_command,
    settings_overrides,
)
from spark_app.errors import RunInterruptedError, SparkAppError, UsageError
from spark_app.interruption import Interruption

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_app.settings import Settings
    from spark_app.stages.context import RunRequest, StageContext, StageReport
    from spark_app.stages.retention import RetentionPlan
    from spark_app.stages.staggered import StaggeredPlan
    from spark_app.storage.database import Database

logger = logging.getLogger("spark_app")


@dataclass(frozen=True)
class Job:
    """One call of a job: its name and arguments, what it did, and the wish to stop it.

    `reports` are those of the stages that it ran; `findings` is what else its summary tells, by name.
    """

    name: str
    argv: Sequence[str]
    arguments: argparse.Namespace
    reports: list[StageReport] = field(default_factory=list)
    findings: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    interruption: Interruption = field(default_factory=Interruption)


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
    return _run_job(name, parser, argv, lambda job: _open_run(job, lambda run: _run_pending(run, stages)))


def run_backfill(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Bring the funds' prices of many sessions up to date; returns the exit code."""
    parser = build_backfill_parser(name, description or "")
    return _run_job(name, parser, argv, lambda job: _open_run(job, lambda run: _run_stages(run, [name])))


def run_staggered_backfill(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Bring the sector funds' prices up to date, one at a time and minutes apart; returns the exit code."""
    return _run_job(name, build_staggered_parser(name, description or ""), argv, _plan_staggered)


def run_cache(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Show what is cached, or let some of it be forgotten; returns the exit code."""
    return _run_job(name, build_cache_parser(name, description or ""), argv, lambda job: _open_run(job, _show_cache))


def run_republish(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Rebuild served tables from staging; returns the exit code."""
    parser = build_republish_parser(name, description or "")
    return _run_job(name, parser, argv, lambda job: _open_run(job, lambda run: _run_stages(run, [name])))


def run_verify_data(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Make the checks that a user would make; returns the exit code, 1 where one failed."""
    return _run_job(name, build_verify_parser(name, description or ""), argv, lambda job: _open_run(job, _verify))


def run_retention(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Remove what is older than the settings want it kept; returns the exit code."""
    parser = build_retention_parser(name, description or "")
    return _run_job(name, parser, argv, lambda job: _open_run(job, _apply_retention))


def _run_job(name: str, parser: argparse.ArgumentParser, argv: Sequence[str] | None, work: Callable[[Job], int]) -> int:
    words = sys.argv[1:] if argv is None else argv
    job = Job(name, words, parser.parse_args(words))
    logging.basicConfig(level=logging.ERROR, format="%(message)s", stream=sys.stdout)
    logger.setLevel(logging.INFO)
    # Spark writes each refused query here once more, as JSON.
    logging.getLogger("DataFrameQueryContextLogger").setLevel(logging.CRITICAL)
    # Written first without a result: an unwritable place is refused before anything is done.
    with job.interruption.watching():
        if refused := _guarded(job, lambda: _write_json(job, None)):
            return refused
        exit_code = _guarded(job, lambda: work(job))
        written = _guarded(job, lambda: _write_json(job, exit_code))
        return exit_code or written


def _guarded(job: Job, action: Callable[[], int]) -> int:
    """Run an action; what it raises becomes a sentence on stderr and an exit code."""
    try:
        return action()
    except SparkAppError as error:
        _complain(job.name, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        pass
    except Exception:
        # A signal at the very start ends the JVM before it can be taken over, and then nothing works any more.
        if not job.interruption.stopping.is_set():
            logger.exception("%s: unexpected error", job.name)
            return SparkAppError.exit_code
    _complain(job.name, "interrupted; run it again to go on")
    return RunInterruptedError.exit_code


def _open_run(job: Job, work: Callable[[Run], int]) -> int:
    """Open what a run needs and let `work` do it; 0 without it where the day has no session."""
    from spark_app.settings import load_settings

    settings = load_settings(config_file=job.arguments.config, overrides=settings_overrides(job.arguments))
    with contextlib.ExitStack() as resources, ThreadPoolExecutor() as beside:
        resources.enter_context(job.interruption.watching_java())
        # Making the session keeps the JVM busy, importing the rest and preparing the database Python: both at once.
        preparing = beside.submit(_prepare, job, settings, resources)
        spark = resources.enter_context(_session(job.name))
        job.interruption.take_over()
        if "delay" in job.arguments and not getattr(job.arguments, "dry_run", False):
            beside.submit(_warm_up, spark, settings)
        prepared = preparing.result()
        return work(Run(job, settings, spark, *prepared)) if prepared else 0


def _prepare(
    job: Job, settings: Settings, resources: contextlib.ExitStack
) -> tuple[Database, dt.date, dt.datetime] | None:
    """Find the as-of session and bring the database up to date, which runs until `resources` are closed."""
    from spark_app.settings import load_database_settings
    from spark_app.stages.run import prepare
    from spark_app.storage.database import administrator_of, open_database

    now = dt.datetime.now(dt.UTC)
    as_of = _as_of_session(job.name, getattr(job.arguments, "as_of", None), now)
    if as_of is None:
        return None
    named = load_database_settings()
    database = resources.enter_context(open_database(named))
    prepare(database, settings, admin=administrator_of(named, database))
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

    if run.job.arguments.force or run.job.arguments.as_of is not None or _known_at(run) is not None:
        return _run_stages(run, stages)
    pending = pending_stages(run.database, run.settings, _request(run), stages)
    if not pending:
        logger.info("%s: %s is done already: nothing to do (--force does it again)", run.job.name, run.as_of)
        return 0
    return _run_stages(run, pending)


def _run_stages(run: Run, stages: Sequence[str]) -> int:
    from spark_app.stages.run import run_stage

    context = _context(run)
    for stage in stages:
        if context.stopping.is_set():
            raise RunInterruptedError(f"interrupted before {stage}; go on with: {context.request.resume_command}")
        report = run_stage(context, stage)
        run.job.reports.append(report)
        if report.exit_code:
            _complain(stage, report.message)
            return report.exit_code
    return 0


def _plan_staggered(job: Job) -> int:
    """Show the plan where no more is asked for and staging has no say in it; else run it."""
    from spark_app.settings import load_settings

    arguments = job.arguments
    if not arguments.dry_run or arguments.skip_existing:
        return _open_run(job, _run_staggered)
    load_settings(config_file=arguments.config, overrides=settings_overrides(arguments))
    as_of = _as_of_session(job.name, arguments.as_of, dt.datetime.now(dt.UTC))
    return _show(_plan(job, as_of), asks=False) if as_of else 0


def _run_staggered(run: Run) -> int:
    from spark_app.stages.staggered import exit_code_of, run_plan, tickers_to_repeat, without_complete

    job, reports, context = run.job, run.job.reports, _context(run)
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
                _complain(f"{job.name} {ticker}", report.message)
    finally:
        if again := ",".join(tickers_to_repeat(plan, reports)):
            command = resume_command(job.name, job.argv, run.as_of, tickers=again)
            _complain(job.name, f"failed: {again}; once more with: {command}")
    return exit_code_of(reports)


def _plan(job: Job, as_of: dt.date) -> StaggeredPlan:
    from spark_app.stages.staggered import StaggeredPlan, plan_tickers

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


def _show_cache(run: Run) -> int:
    from spark_app.stages.cache_list import draw_cache, forget, list_cache

    arguments, context = run.job.arguments, _context(run)
    cached = list_cache(context)
    if not arguments.forget and not arguments.forget_all:
        logger.info("%s", draw_cache(context, cached))
        return 0
    forgotten = forget(context, cached, arguments.forget.split(",") if arguments.forget else None)
    logger.info("forgotten: %s", ", ".join(forgotten) or "nothing was cached")
    return 0


def _verify(run: Run) -> int:
    from spark_app.stages.verification import draw_findings, verify
    from spark_app.storage.run_log import hold_tables

    with hold_tables(run.database):
        findings = verify(_context(run))
    run.job.findings["checks"] = [asdict(finding) for finding in findings]
    logger.info("%s", draw_findings(findings))
    failed = [finding.check for finding in findings if finding.passed is False]
    if failed:
        _complain(run.job.name, f"{len(failed)} checks failed: {'; '.join(failed)}")
    return 1 if failed else 0


def _apply_retention(run: Run) -> int:
    from spark_app.settings import load_database_settings
    from spark_app.stages.retention import draw_cuts, plan_retention
    from spark_app.storage.database import administrator_of
    from spark_app.storage.run_log import hold_tables_alone

    context, admin = _context(run), administrator_of(load_database_settings(), run.database)
    with contextlib.nullcontext() if run.job.arguments.dry_run else hold_tables_alone(run.database):
        plan = plan_retention(context, admin)
        run.job.findings["retention"] = [asdict(cut) for cut in plan.cuts]
        logger.info("%s", draw_cuts(plan.cuts))
        _finish_retention(run, context, admin, plan)
    return 0


def _finish_retention(run: Run, context: StageContext, admin: Database, plan: RetentionPlan) -> None:
    from spark_app.stages.retention import apply_retention, describe_loss, describe_space, staging_size

    before = staging_size(context)
    if run.job.arguments.dry_run:
        logger.info("nothing was removed: this is a dry run")
    else:
        apply_retention(context, admin, plan)
        logger.info("%s: done; %s", run.job.name, describe_space(context, before))
    if loss := describe_loss(context, plan):
        logger.info("%s", loss)


def _context(run: Run) -> StageContext:
    """Put together what stages work with."""
    from spark_app.stages.run import start

    return start(run.spark, run.database, run.settings, _request(run), run.job.interruption.stopping)


def _request(run: Run) -> RunRequest:
    from spark_app.stages.context import RunRequest, new_run_id

    arguments = run.job.arguments
    return RunRequest(
        run_id=new_run_id(run.now),
        as_of=run.as_of,
        now=run.now,
        days=getattr(arguments, "days", 21),
        universe=getattr(arguments, "universe", "trending"),
        as_of_dates=_as_of_range(run),
        known_at=_known_at(run),
        tables=getattr(arguments, "tables", None),
        tickers=getattr(arguments, "tickers", None),
        refresh=getattr(arguments, "refresh", False),
        force=getattr(arguments, "force", False),
        one_at_a_time=getattr(arguments, "no_batch", False),
        resume_command=resume_command(run.job.name, run.job.argv, run.as_of),
    )


def _known_at(run: Run) -> dt.datetime | None:
    moment: dt.datetime | None = getattr(run.job.arguments, "known_at", None)
    return moment


def _as_of_range(run: Run) -> tuple[dt.date, ...]:
    """The sessions of a range that ends with the as-of session; none where no range is asked for."""
    from spark_app import market_calendar

    first = getattr(run.job.arguments, "first", None)
    if first is None:
        return ()
    sessions = tuple(market_calendar.sessions_between(first, run.as_of))
    if not sessions:
        raise UsageError(f"--from {first} lies after {run.as_of}: there is no session between them")
    return sessions


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
        summary |= job.findings
        try:
            Path(file).write_text(json.dumps(summary, default=str, indent=2) + "\n")
        except OSError as error:
            raise UsageError(f"--json {file}: cannot write: {error.strerror}") from error
    return 0
