"""How a stage ended: its row of the run log, its report, and its summary line."""

from __future__ import annotations

import logging

from spark_app.config.secrets import without_secrets
from spark_app.errors import DataIncompleteError, RateLimitedError, RunInterruptedError, SparkAppError
from spark_app.pipeline.result import StageReport, StageResult
from spark_app.pipeline.run import Run
from spark_app.storage.postgres.run_log import RowCounts, RunResult
from spark_app.text_table import printable

logger = logging.getLogger(__name__)

_STATUS: dict[type[SparkAppError], str] = {
    DataIncompleteError: "incomplete",
    RateLimitedError: "rate_limited",
    RunInterruptedError: "interrupted",
}


def log_row_of(result: StageResult) -> RunResult:
    """Return what the run log keeps of a result."""
    failure = result.failure
    return RunResult(
        status=_STATUS.get(type(failure), "failed") if failure else "ok",
        exit_code=failure.exit_code if failure else 0,
        message=printable(without_secrets(str(failure) if failure else result.message)),
        requests=result.fetched.requests,
        tickers_asked=result.fetched.asked,
        tickers_ok=len(result.fetched.answered),
        rows_rejected=result.rows_rejected,
        delta_versions=result.delta_versions,
        is_staged=result.is_staged,
    )


def report_of(run: Run, stage: str, result: StageResult, counts: RowCounts, seconds: float) -> StageReport:
    """Return the report of a stage."""
    row, failure = log_row_of(result), result.failure
    return StageReport(
        run_id=run.request.run_id,
        stage=stage,
        as_of_date=run.as_of,
        status="what_if" if run.request.is_what_if and not failure else row.status,
        exit_code=row.exit_code,
        message=row.message,
        seconds=round(seconds, 1),
        requests=row.requests,
        rows_inserted=counts.inserted,
        rows_updated=counts.updated,
        rows_unchanged=counts.unchanged,
        rows_removed=counts.removed,
        rows_rejected=row.rows_rejected,
        resume_at=failure.resume_at if isinstance(failure, RateLimitedError) else None,
    )


def log_summary(run: Run, report: StageReport) -> None:
    """Log the summary line of a stage that ended well; what failed is an error, for stderr."""
    if report.exit_code:
        return
    origin = run.settings.data_origin
    marked = "" if origin == "real" else f" [{origin}]"
    rows = "nothing published, rows that would be" if run.request.is_what_if else "rows"
    logger.info(
        "%s %s%s: %s; %s: %d inserted, %d updated, %d unchanged, %d removed; %d requests, %.1f s",
        *(report.stage, report.as_of_date, marked, report.message, rows),
        *(report.rows_inserted, report.rows_updated, report.rows_unchanged, report.rows_removed),
        *(report.requests, report.seconds),
    )
