"""Stage 3: which sectors trend over 5, 10 and 20 sessions."""

from __future__ import annotations

from spark_app.pipeline.result import StageResult
from spark_app.pipeline.run import Run
from spark_app.schemas import TRENDING_SECTORS
from spark_app.stages.market import describe_trending, describe_unlisted, sector_trends_of, served_trends
from spark_app.storage.delta.staging import BARS_TABLE
from spark_app.storage.postgres.provenance import Provenance
from spark_app.universe import PERIODS


def run(run: Run) -> StageResult:
    """Serve the trends of the as-of session."""
    trends = sector_trends_of(run)
    unavailable = sum(row["return_pct"] is None for row in trends)
    message = "of 11 sectors " + ", ".join(describe_trending(trends, sessions) for sessions in PERIODS)
    missing = f"{unavailable} returns unavailable" if unavailable else ""
    return StageResult(
        message="; ".join(part for part in (message, missing, describe_unlisted(run)) if part),
        publications=(run.serve_dates(TRENDING_SECTORS, served_trends(trends)),),
        provenance=Provenance({"staging_versions": run.staging_versions([BARS_TABLE])}),
    )
