"""One call of a job, from its arguments to its exit code: errors become sentences, and the summary is written."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from spark_app import __version__
from spark_app.cli.interruption import Interruption
from spark_app.cli.invocation import Invocation
from spark_app.cli.jobs import JOBS
from spark_app.cli.opening import run_job
from spark_app.cli.parser import parse
from spark_app.errors import RunInterruptedError, SparkAppError, UsageError
from spark_app.text_table import printable

logger = logging.getLogger("spark_app")


class _PlainText(logging.Formatter):
    """Formats the message alone, without secrets and without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return plain_text(super().format(record))


def plain_text(text: str) -> str:
    """Hide secrets and control characters."""
    # Not at the start: pydantic would delay the help texts.
    from spark_app.config.secrets import without_secrets

    return printable(without_secrets(text))


def main(name: str, argv: Sequence[str] | None = None) -> int:
    """Run the job of this name; returns the exit code (see spark_app/errors.py)."""
    _use_stderr_of_launcher()
    job, words = JOBS[name], tuple(sys.argv[1:] if argv is None else argv)
    invocation = Invocation(job, words, parse(job, words), Interruption())
    with _logging_to_terminal(), invocation.interruption.watching():
        # Written first without a result: a place that cannot be written is refused before anything is done.
        if refused := _guarded(invocation, lambda: _write_json(invocation, None)):
            return refused
        exit_code = _guarded(invocation, lambda: run_job(invocation))
        written = _guarded(invocation, lambda: _write_json(invocation, exit_code))
        return exit_code or written


@contextlib.contextmanager
def _logging_to_terminal() -> Iterator[None]:
    """Log our progress to stdout, and errors, also those of other libraries, to stderr."""
    progress, errors = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stderr)
    progress.addFilter(lambda record: record.name.startswith(logger.name) and record.levelno < logging.ERROR)
    errors.setLevel(logging.ERROR)
    before, root = logger.level, logging.getLogger()
    try:
        logger.setLevel(logging.INFO)
        for handler in (progress, errors):
            handler.setFormatter(_PlainText())
            root.addHandler(handler)
        yield
    finally:
        for handler in (progress, errors):
            root.removeHandler(handler)
        logger.setLevel(before)


def _use_stderr_of_launcher() -> None:
    """Write errors where the launcher writes its own: spark-submit joins the stderr of Python to its stdout."""
    place = os.environ.get("LAUNCHER_STDERR")
    if not place:
        return
    with contextlib.suppress(OSError):  # A place that cannot be opened again, such as a socket.
        stderr = os.open(place, os.O_WRONLY | os.O_APPEND)
        os.dup2(stderr, 2)
        os.close(stderr)


def _guarded(invocation: Invocation, action: Callable[[], int]) -> int:
    """Do something; an error becomes a sentence on stderr and an exit code."""
    name = invocation.job.name
    try:
        return action()
    except SparkAppError as error:
        invocation.summary.error = plain_text(str(error))
        logger.error("%s: %s", name, error)
        return error.exit_code
    except KeyboardInterrupt:
        pass
    except Exception:
        # A signal at the very start ends the JVM before it can be taken over, and then nothing works any more.
        if not invocation.interruption.stopping.is_set():
            invocation.summary.error = "unexpected error"
            logger.exception("%s: unexpected error", name)
            return SparkAppError.exit_code
    logger.error("%s: %s", name, "interrupted; run it again to resume")
    return RunInterruptedError.exit_code


def _write_json(invocation: Invocation, exit_code: int | None) -> int:
    """Write the summary where one was asked for; returns 0.

    Raises: UsageError: the place cannot be written.
    """
    file = invocation.json_file
    if file is not None:
        stages = [asdict(report) for report in invocation.summary.reports]
        summary = {"job": invocation.job.name, "version": __version__, "exit_code": exit_code, "stages": stages}
        summary["error"] = invocation.summary.error
        try:
            Path(file).write_text(json.dumps(summary | invocation.summary.findings, default=str, indent=2) + "\n")
        except (OSError, ValueError) as error:
            raise UsageError(f"--json {file}: cannot write: {getattr(error, 'strerror', error)}") from error
    return 0
