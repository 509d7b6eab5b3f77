"""Executing a stage: its lock, its row in the run log, its work, publishing, the report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from spark_app.errors import (
    AlreadyRunningError,
    LastingFailureError,
    RunInterruptedError,
    ServiceUnavailableError,
    SparkAppError,
)
from spark_app.pipeline.messages import send_pending, topic_of
from spark_app.pipeline.reporting import log_row_of, log_summary, report_of
from spark_app.pipeline.result import StageReport, StageResult
from spark_app.pipeline.run import Run
from spark_app.pipeline.stage import Stage
from spark_app.pipeline.what_if import run_what_if
from spark_app.storage.delta.failures import staging_in_use
from spark_app.storage.postgres.locks import lone_stage_lock, stage_lock
from spark_app.storage.postgres.publishing.publish import publish
from spark_app.storage.postgres.run_log import RowCounts, RunKey, start_run

_LONGEST_MESSAGE = 500


def run_stage(run: Run, stage: Stage) -> StageReport:
    """Run one stage and report how it ended; an error of ours is in the report, not raised.

    A what-if run (`Request.is_what_if`) leaves the run log, the served tables and the topic as they are.
    """
    started = time.monotonic()
    try:
        result, counts = _run_what_if(run, stage) if run.request.is_what_if else _run_locked(run, stage)
    except (AlreadyRunningError, RunInterruptedError, ServiceUnavailableError) as error:
        result, counts = _failed(error), RowCounts()
    report = report_of(run, stage.name, result, counts, time.monotonic() - started)
    log_summary(run, report)
    if not run.request.is_what_if:
        delivery = send_pending(run.database, run.settings)
        report = replace(report, messages_sent=delivery.sent, messages_owed=delivery.pending)
    run.summary.reports.append(report)
    return report


def run_key(run: Run, stage: Stage) -> RunKey:
    """Name the stage of this run and what makes it another one: the key of its row in the run log."""
    parameters = stage.parameters_of(run.request, run.settings)
    return RunKey(run.request.run_id, stage.name, run.as_of, parameters)


def _run_what_if(run: Run, stage: Stage) -> tuple[StageResult, RowCounts]:
    try:
        return run_what_if(replace(run, stage=stage.name), stage)
    except SparkAppError as error:
        return _failed(error), RowCounts()


def _run_locked(run: Run, stage: Stage) -> tuple[StageResult, RowCounts]:
    key = run_key(run, stage)
    with (lone_stage_lock if stage.works_alone else stage_lock)(run.database, key) as lock:
        locked = replace(run, stage=stage.name, confirm_lock=_both(lock.confirm, run.confirm_lock))
        start_run(run.database, key, run.settings.deciding)
        try:
            with staging_in_use(run.staging.root):
                result = stage.run(locked)
                return result, _publish(locked, key, result)
        except SparkAppError as error:
            result = _failed(error)
            _close(run, key, result)
            return result, RowCounts()
        except KeyboardInterrupt:
            _close(run, key, _failed(RunInterruptedError("interrupted")))
            raise
        except Exception as error:
            _close(run, key, _failed(SparkAppError(f"unexpected: {error!r}"[:_LONGEST_MESSAGE])))
            raise


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def confirm() -> None:
        first()
        second()

    return confirm


def _close(run: Run, key: RunKey, result: StageResult) -> None:
    # Where Postgres is the problem, the row of the run log cannot be closed either; it was retried already.
    with contextlib.suppress(SparkAppError):
        _publish_once(replace(run, confirm_lock=Run.confirm_lock), key, result)


def _failed(error: SparkAppError) -> StageResult:
    if isinstance(error, ServiceUnavailableError) and not isinstance(error, LastingFailureError):
        error = ServiceUnavailableError(f"{error}; what was fetched is kept: run it again")
    return StageResult(message=str(error), failure=error, is_staged=False)


def _publish(run: Run, key: RunKey, result: StageResult) -> RowCounts:
    return run.database.retry_policy.call(lambda: _publish_once(run, key, result))


def _publish_once(run: Run, key: RunKey, result: StageResult) -> RowCounts:
    return publish(
        run.database,
        key,
        log_row_of(result),
        origin=result.replayed_origin or run.settings.data_origin,
        publications=result.publications,
        errors=result.errors,
        provenance=result.provenance,
        topic=topic_of(run.settings) if result.replayed_origin is None else None,
        confirm=run.confirm_lock,
    )
