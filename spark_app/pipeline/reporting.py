"""How a stage ended: its row of the run log, its report, and its summary line."""

from __future__ import annotations

import logging

from spark_app.errors import DataIncompleteError, RateLimitedError, RunInterruptedError, SparkAppError
from spark_app.pipeline.context import StageContext, StageOutput, StageReport
from spark_app.storage.postgres.run_log import RowCounts, RunResult

logger = logging.getLogger(__name__)

_STATUS: dict[type[SparkAppError], str] = {
    DataIncompleteError: "incomplete",
    RateLimitedError: "rate_limited",
    RunInterruptedError: "interrupted",
}


def result_of(output: StageOutput) -> RunResult:
    """Put together what the run log keeps."""
    failure = output.failure
    return RunResult(
        status=_STATUS.get(type(failure), "failed") if failure else "ok",
        exit_code=failure.exit_code if failure else 0,
        message=str(failure) if failure else output.message,
        requests=output.fetched.requests,
        tickers_asked=output.fetched.asked,
        tickers_ok=len(output.fetched.answered),
        rows_rejected=output.rows_rejected,
        delta_versions=output.delta_versions,
        is_staged=output.is_staged,
    )


def report_of(context: StageContext, stage: str, output: StageOutput, counts: RowCounts, seconds: float) -> StageReport:
    """Put together the report, and log the summary line of a stage that ended well."""
    result, failure = result_of(output), output.failure
    report = StageReport(
        run_id=context.request.run_id,
        stage=stage,
        as_of_date=context.as_of,
        status=result.status,
        exit_code=result.exit_code,
        message=result.message,
        seconds=round(seconds, 1),
        requests=result.requests,
        rows_inserted=counts.inserted,
        rows_updated=counts.updated,
        rows_unchanged=counts.unchanged,
        rows_removed=counts.removed,
        rows_rejected=result.rows_rejected,
        resume_at=failure.resume_at if isinstance(failure, RateLimitedError) else None,
    )
    if not report.exit_code:
        marked = " [synthetic]" if context.settings.data_origin == "synthetic" else ""
        logger.info(
            "%s %s%s: %s; rows: %d inserted, %d updated, %d unchanged, %d removed; %d requests, %.1f s",
            *(stage, report.as_of_date, marked, report.message),
            *(counts.inserted, counts.updated, counts.unchanged, counts.removed),
            *(report.requests, seconds),
        )
    return report
