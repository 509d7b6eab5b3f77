"""A job from its first word to its exit code: errors become sentences, and the summary is written."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from spark_app import __version__
from spark_app.cli.interruption import Interruption
from spark_app.errors import RunInterruptedError, SparkAppError, UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_app.config.settings import Settings
    from spark_app.pipeline.context import StageReport
    from spark_app.storage.postgres.database import Database

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


def _confirm_nothing() -> None:
    pass


@dataclass(frozen=True)
class Run:
    """A job at work: its settings, its database, the session that it works for, and when it began.

    `confirm_writer` makes sure that no other application writes to staging, where the store takes one at a time.
    """

    job: Job
    settings: Settings
    spark: SparkSession
    database: Database
    as_of: dt.date
    now: dt.datetime
    confirm_writer: Callable[[], None] = _confirm_nothing


def run_guarded(
    name: str, parser: argparse.ArgumentParser, argv: Sequence[str] | None, work: Callable[[Job], int]
) -> int:
    """Do the work that the arguments ask for; what goes wrong becomes a sentence and the exit code that is returned."""
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
        complain(job.name, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        pass
    except Exception:
        # A signal at the very start ends the JVM before it can be taken over, and then nothing works any more.
        if not job.interruption.stopping.is_set():
            logger.exception("%s: unexpected error", job.name)
            return SparkAppError.exit_code
    complain(job.name, "interrupted; run it again to go on")
    return RunInterruptedError.exit_code


def complain(name: str, sentence: str) -> None:
    """Say on stderr what is wrong."""
    print(f"{name}: {sentence}", file=sys.stderr)


def _write_json(job: Job, exit_code: int | None) -> int:
    """Write the summary where one was asked for; returns 0.

    Raises: UsageError: the place cannot be written.
    """
    file = job.arguments.json
    if file is not None:
        stages = [asdict(report) for report in job.reports]
        summary = {"job": job.name, "version": __version__, "exit_code": exit_code, "stages": stages} | job.findings
        try:
            Path(file).write_text(json.dumps(summary, default=str, indent=2) + "\n")
        except (OSError, ValueError) as error:
            raise UsageError(f"--json {file}: cannot write: {getattr(error, 'strerror', error)}") from error
    return 0
