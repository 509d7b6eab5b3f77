"""Replay the topic into the database in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spark_app.cli.job import Run, complain
from spark_app.cli.request import request_of

if TYPE_CHECKING:
    from spark_app.pipeline.context import StageContext


def replay_topic(run: Run) -> int:
    """Run the replay as a stage of its own; returns its exit code."""
    from spark_app.pipeline.execution import run_stage

    report = run_stage(_context(run), run.job.name)
    run.job.reports.append(report)
    if report.exit_code:
        complain(run.job.name, report.message)
    return report.exit_code


def _context(run: Run) -> StageContext:
    """What the replay works with; the staging tables have no say in it, whatever kind of data they hold."""
    from spark_app.pipeline.context import StageContext
    from spark_app.storage.delta.staging import Staging

    staging = Staging(run.spark, run.settings.staging_path, run.settings.data_origin, None)
    stopping = run.job.interruption.stopping
    return StageContext(request_of(run), run.settings, run.spark, staging, run.database, stopping)
