"""Stage 3: which sectors trend over 5, 10 and 20 sessions."""

from __future__ import annotations

from spark_app.pipeline.context import StageContext, StageOutput
from spark_app.schemas import TRENDING_SECTORS
from spark_app.stages.market import describe_trending, read_sector_trends, served_trends
from spark_app.transforms.returns import PERIODS

STAGE = "stage3_trending_sectors"


def run(context: StageContext) -> StageOutput:
    """Compute and serve the trends of the as-of session."""
    trends = read_sector_trends(context)
    missing = sum(row["return_pct"] is None for row in trends)
    message = "of 11 sectors " + ", ".join(describe_trending(trends, sessions) for sessions in PERIODS)
    return StageOutput(
        message=message + (f"; {missing} returns unavailable" if missing else ""),
        publications=(context.dated_publication(TRENDING_SECTORS, served_trends(trends)),),
    )
