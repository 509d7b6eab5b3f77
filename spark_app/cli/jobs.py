"""Every job, declared once: name, description, options, and what it runs, found by name so that `--help` is quick."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spark_app.backtest import BACKTEST
from spark_app.cli import options as opt
from spark_app.cli.options import Option
from spark_app.operations import BACKFILL, FILL_TOPIC, IMPORT_FILES, REPLAY, REPUBLISH, STAGGERED_BACKFILL
from spark_app.pipeline.stage import Stage
from spark_app.stages import STAGES

if TYPE_CHECKING:
    from spark_app.config.settings import DatabaseSettings, Settings
    from spark_app.pipeline.request import Request
    from spark_app.pipeline.run import Run
    from spark_app.storage.postgres.database import Database


@dataclass(frozen=True)
class Job:
    """A job: `jobs/NAME.py`, run by spark-submit or the launcher.

    Attributes:
        name, description: for `--help` and `--list`.
        options: those beside the ones that every job has (`--source`, `--config`, `--json`, `--version`).
        stages: what it runs, where that is stages; pending ones only, unless `runs_again`.
        work: else the function that does the work, `module:name`, called with the run; returns the exit code.
        reading: else the function that reads the served tables without Spark, `module:name`, called with the request,
            the settings and the database; returns the exit code.
        afterwards: a function called with the run when the work has ended, unless it was interrupted.
        reads_any_origin: whether it takes the kind of data that the database has, unless `--source` names one.
        check: a function called with the settings and those of the database before anything is begun, not for a dry
            run; raises what the user has to change.
        source: the only source that the job works with, "" for any.
        takes_any_day: whether a day without trading stands for the session before it.
        preview: a function called with the request before anything is opened; returns whether that was all.
        examples: arguments, for the end of `--help`.
    """

    name: str
    description: str
    options: tuple[Option, ...] = ()
    stages: tuple[Stage, ...] = ()
    runs_again: bool = False
    work: str = ""
    check: str = ""
    reading: str = ""
    afterwards: str = ""
    preview: str = ""
    reads_any_origin: bool = False
    takes_any_day: bool = False
    source: str = ""
    examples: tuple[str, ...] = ()

    @property
    def all_options(self) -> tuple[Option, ...]:
        source = replace(opt.SOURCE, choices=(self.source,), default=self.source) if self.source else opt.SOURCE
        return (source, opt.CONFIG, opt.JSON, *self.options)

    @property
    def fetches(self) -> bool:
        """Whether the job asks the source."""
        return any(stage.fetches for stage in self.stages)

    @property
    def takes_any_origin(self) -> bool:
        """Whether the job takes the kind of data that it finds, real or synthetic."""
        return any(stage.takes_any_origin for stage in self.stages)

    def run(self, run: Run) -> int:
        """Do the work; returns the exit code."""
        exit_code = int(_found(self.work)(run)) if self.work else self._run_stages(run)
        if self.afterwards and not run.stopping.is_set():
            _found(self.afterwards)(run)
        return exit_code

    def _run_stages(self, run: Run) -> int:
        from spark_app.pipeline.sequence import run_pending, run_stages

        return run_stages(run, self.stages) if self.runs_again else run_pending(run, self.name, self.stages)

    def read(self, request: Request, settings: Settings, database: Database) -> int:
        """Do the work of a job without Spark; returns the exit code."""
        return int(_found(self.reading)(request, settings, database))

    def check_rights(self, settings: Settings, named: DatabaseSettings) -> None:
        """Refuse a database in which the job could not do its work."""
        if self.check:
            _found(self.check)(settings, named)

    def show(self, request: Request) -> bool:
        """Answer a request that needs no more than itself; returns whether that was all."""
        return bool(self.preview and _found(self.preview)(request))


def _found(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = pkgutil.resolve_name(name)
    return found


def _options_of(*stages: Stage) -> tuple[Option, ...]:
    """The options that matter to the stages of a job."""
    parameters = {name for stage in stages for name in stage.parameters}
    fetches = any(stage.fetches for stage in stages)
    return (
        opt.AS_OF,
        opt.FORCE,
        *(opt.FETCH if fetches else (opt.KNOWN_AT, opt.WHAT_IF)),
        *((opt.DAYS,) if "days" in parameters else ()),
        *((opt.UNIVERSE,) if "universe" in parameters else ()),
    )


_STAGE_JOBS = tuple(Job(stage.name, stage.description, _options_of(stage), (stage,)) for stage in STAGES)

JOBS = {
    job.name: job
    for job in (
        *_STAGE_JOBS,
        Job(
            "daily_pipeline",
            "All five stages of a session in one Spark application, up to the first that fails.",
            (*_options_of(*STAGES), opt.CATCH_UP),
            STAGES,
            work="spark_app.operations.daily_pipeline:run_daily",
            afterwards="spark_app.results.report:report_after",
        ),
        Job(
            BACKFILL.name,
            BACKFILL.description,
            (
                *(opt.AS_OF, opt.BACKFILL_DAYS, opt.BACKFILL_TICKERS, *opt.FETCH),
                *(opt.RATE_LIMIT_SLEEP, opt.NO_BATCH, opt.UNBLOCK),
            ),
            (BACKFILL,),
            runs_again=True,
            examples=("", "--days 252 --delay 2", "--tickers SPY,XLK --refresh"),
        ),
        Job(
            STAGGERED_BACKFILL.name,
            STAGGERED_BACKFILL.description,
            (
                *(opt.AS_OF, opt.BACKFILL_DAYS, opt.STAGGERED_TICKERS, opt.DELAY_MINUTES, opt.START_FROM),
                *(opt.SKIP_EXISTING, opt.SHOW_PLAN, *opt.FETCH, opt.UNBLOCK),
            ),
            (STAGGERED_BACKFILL,),
            work="spark_app.operations.staggered_sector_backfill:run_plan",
            preview="spark_app.operations.staggered_sector_backfill:show_plan",
            examples=("--dry-run", "--days 252 --skip-existing", "--delay-minutes 0.5 --start-from XLV"),
        ),
        Job(
            IMPORT_FILES.name,
            IMPORT_FILES.description,
            (opt.FILES, opt.SPLIT_BASIS),
            (IMPORT_FILES,),
            runs_again=True,
            source="files",
            examples=("--files prices", "--files prices --split-basis unadjusted"),
        ),
        Job(
            "cache",
            "Show the cached fetches, or drop some of them from the cache.",
            (opt.AS_OF, opt.FORGET, opt.FORGET_ALL),
            work="spark_app.operations.cache:show_cache",
            reads_any_origin=True,
        ),
        Job(
            REPUBLISH.name,
            REPUBLISH.description,
            (opt.AS_OF, opt.FROM, opt.TABLES, opt.REPUBLISHED_DAYS, opt.UNIVERSE, opt.KNOWN_AT, opt.WHAT_IF),
            (REPUBLISH,),
            runs_again=True,
        ),
        Job(
            BACKTEST.name,
            BACKTEST.description,
            (*opt.BACKTEST, opt.BACKTEST_OUT, opt.OPEN),
            (BACKTEST,),
            runs_again=True,
            afterwards="spark_app.results.backtest_report:page_after",
            takes_any_day=True,
            examples=(
                "--from 2016-01-04 --to 2023-12-29",
                "--from 2016-01-04 --rebalance weekly --basis 20 --rank-periods 5,10,20 --cost-bps 5",
            ),
        ),
        Job(
            REPLAY.name,
            REPLAY.description,
            (opt.FROM_OFFSET, opt.FROM_TIME),
            (REPLAY,),
            runs_again=True,
            examples=("", "--from-offset 1200", "--from-time 2024-05-10T21:30"),
        ),
        Job(FILL_TOPIC.name, FILL_TOPIC.description, (), (FILL_TOPIC,), runs_again=True),
        Job(
            "verify_data",
            "Check what is served: rows, gaps, flags, weights, staging against Postgres, the last runs.",
            work="spark_app.operations.verify_data:verify_data",
            reads_any_origin=True,
        ),
        Job(
            "report",
            "Make the morning page of a session: one HTML file from the served tables, without Spark.",
            (opt.REPORT_AS_OF, opt.OUT, opt.PNG, opt.OPEN),
            reading="spark_app.results.report:make_report",
            reads_any_origin=True,
            examples=("--open", "--as-of 2024-05-10 --out friday.html"),
        ),
        Job(
            "apply_retention",
            "Remove what is older than the settings keep it, from Postgres and staging, and reclaim the space.",
            (opt.SHOW_CUTS,),
            work="spark_app.operations.retention:remove_old",
            check="spark_app.storage.postgres.retention:require_rights",
        ),
    )
}
"""The jobs by name."""
