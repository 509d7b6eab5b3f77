"""Run stages step by step, up to the first that fails."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from spark_app.cli.job import Run, complain
from spark_app.cli.request import context_of, known_at_of, request_of
from spark_app.errors import RunInterruptedError, first_exit_code

logger = logging.getLogger("spark_app")


def run_pending(run: Run, stages: Sequence[str]) -> int:
    """Run the stages that are not done yet.

    A date that was named, or --force, is worked on again; a scheduled run only does what is left.
    """
    from spark_app.pipeline.announcing import send_owed
    from spark_app.pipeline.execution import pending_stages

    if run.job.arguments.force or run.job.arguments.as_of is not None or known_at_of(run) is not None:
        return run_stages(run, stages)
    pending = pending_stages(run.database, run.settings, request_of(run), stages)
    if not pending:
        logger.info("%s: %s is done already: nothing to do (--force does it again)", run.job.name, run.as_of)
        send_owed(run.database, run.settings)
        return 0
    return run_stages(run, pending)


def run_stages(run: Run, stages: Sequence[str]) -> int:
    """Run stages, side by side where they need nothing of each other, and begin none after one has failed.

    Returns the exit code of the one that failed, of several the first in the order of exit codes, else 0.
    """
    from spark_app.pipeline.execution import in_steps, run_stage

    context = context_of(run)
    for step in in_steps(stages):
        if context.stopping.is_set():
            raise RunInterruptedError(f"interrupted before {step[0]}; go on with: {context.request.resume_command}")
        with ThreadPoolExecutor(len(step)) as beside:
            reports = list(beside.map(functools.partial(run_stage, context), step))
        run.job.reports.extend(reports)
        for report in reports:
            if report.exit_code:
                complain(report.stage, report.message)
        if exit_code := first_exit_code([report.exit_code for report in reports]):
            return exit_code
    return 0
