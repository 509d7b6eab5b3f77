"""The backfill of the fund tables: as stage 1, for the funds and the number of sessions that are asked for."""

from __future__ import annotations

from spark_app.pipeline.result import StageResult
from spark_app.pipeline.run import Run
from spark_app.stages.stage1_etf_ohlc import collect_funds
from spark_app.universe import FUNDS


def run(run: Run) -> StageResult:
    """Collect daily prices of the funds that the request names, by default all."""
    return collect_funds(run, run.request.tickers or FUNDS)
