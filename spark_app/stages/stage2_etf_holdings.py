"""Stage 2: holdings of SPY and the sector funds."""

from __future__ import annotations

from pyspark.sql import functions as F
from pyspark.sql.types import DateType, StringType, StructField, StructType

from spark_app.ingestion.current import read_holdings
from spark_app.ingestion.gate import require_answers
from spark_app.ingestion.ingest import Ingested, ingest
from spark_app.pipeline.result import StageResult
from spark_app.pipeline.run import Run
from spark_app.schemas import ETF_HOLDINGS
from spark_app.sources.contract import Kind
from spark_app.storage.postgres.publishing.publication import Publication, RowSet
from spark_app.transforms.holdings import ranked_holdings
from spark_app.universe import FUNDS

_SNAPSHOT = StructType([StructField("etf_ticker", StringType()), StructField("snapshot_date", DateType())])


def run(run: Run) -> StageResult:
    """Collect the funds' holdings, and serve their newest snapshots."""
    ingested = ingest(run, holdings=FUNDS)
    snapshots = ingested.snapshots
    fetched = F.broadcast(run.frame(snapshots, _SNAPSHOT))
    holdings = read_holdings(run).join(fetched, on=["etf_ticker", "snapshot_date"], how="left_semi")
    whole = RowSet(("etf_ticker", "as_of_date"), tuple(snapshots))
    served = Publication(ETF_HOLDINGS, ranked_holdings(holdings), whole)
    coverage = run.settings.gate.etf_coverage
    gate = require_answers(run, ingested.landing, Kind.HOLDINGS, what="funds", coverage=coverage)
    return ingested.result(_message(ingested), served, gate=[gate])


def _message(ingested: Ingested) -> list[str]:
    tickers = ingested.landing.tickers
    dates = sorted({str(t.snapshot_date) for t in tickers if t.snapshot_date is not None})
    return [
        ingested.landing.summary(Kind.HOLDINGS).describe("funds"),
        f"snapshots of {', '.join(dates)}" if dates else "",
        f"{sum(t.left_out for t in tickers)} rows that are no shares skipped",
    ]
