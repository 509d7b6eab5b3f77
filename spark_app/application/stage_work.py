"""Run stages one after another, up to the first that fails."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from spark_app.application.job import Run, complain
from spark_app.application.request import context_of, known_at_of, request_of
from spark_app.errors import RunInterruptedError

logger = logging.getLogger("spark_app")


def run_pending(run: Run, stages: Sequence[str]) -> int:
    """Run the stages that are not done yet.

    A date that was named, or --force, is worked on again; a scheduled run only does what is left.
    """
    from spark_app.stages.run import pending_stages

    if run.job.arguments.force or run.job.arguments.as_of is not None or known_at_of(run) is not None:
        return run_stages(run, stages)
    pending = pending_stages(run.database, run.settings, request_of(run), stages)
    if not pending:
        logger.info("%s: %s is done already: nothing to do (--force does it again)", run.job.name, run.as_of)
        return 0
    return run_stages(run, pending)


def run_stages(run: Run, stages: Sequence[str]) -> int:
    """Run stages up to the first that fails; returns its exit code, else 0."""
    from spark_app.stages.run import run_stage

    context = context_of(run)
    for stage in stages:
        if context.stopping.is_set():
            raise RunInterruptedError(f"interrupted before {stage}; go on with: {context.request.resume_command}")
        report = run_stage(context, stage)
        run.job.reports.append(report)
        if report.exit_code:
            complain(stage, report.message)
            return report.exit_code
    return 0
