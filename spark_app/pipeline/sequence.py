"""The stages of a job one after the other: which are pending, and where to stop."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from spark_app.errors import RunInterruptedError
from spark_app.pipeline.execution import run_key, run_stage
from spark_app.pipeline.messages import send_pending
from spark_app.pipeline.preparation import prepare_staging
from spark_app.pipeline.run import Run
from spark_app.pipeline.stage import Stage
from spark_app.storage.postgres.run_log import is_done

logger = logging.getLogger(__name__)


def run_pending(run: Run, job: str, stages: Sequence[Stage]) -> int:
    """Run the stages that are not done yet; returns the exit code.

    A date that was named, `--force` and a what-if run all of them again; a scheduled run does what is left.
    """
    request = run.request
    if request.force or request.is_as_of_given or request.is_what_if:
        return run_stages(run, stages)
    pending = pending_stages(run, stages)
    if not pending:
        logger.info("%s: %s is already done: nothing to do (use --force to run it again)", job, run.as_of)
        send_pending(run.database, run.settings)
    return run_stages(run, pending)


def run_stages(run: Run, stages: Sequence[Stage]) -> int:
    """Run stages in their order, up to the first that fails; returns its exit code, 0 where none does.

    Raises: RunInterruptedError: the run is to stop before the next stage.
    """
    if not all(stage.takes_any_origin for stage in stages):
        prepare_staging(run)
    for stage in stages:
        if run.stopping.is_set():
            raise RunInterruptedError(f"interrupted before {stage.name}; resume with: {run.request.resume_command}")
        report = run_stage(run, stage)
        if report.exit_code:
            logger.error("%s: %s", stage.name, report.message)
            return report.exit_code
    return 0


def pending_stages(run: Run, stages: Sequence[Stage]) -> list[Stage]:
    """List the stages from the first one that is not done for this session with these parameters."""
    for place, stage in enumerate(stages):
        if not is_done(run.database, run_key(run, stage), depends_on=stage.depends_on, reruns_after=stage.reruns_after):
            return list(stages[place:])
    return []
