"""Stage 2: what SPY and the sector funds hold."""

from __future__ import annotations

from pyspark.sql import functions as F
from pyspark.sql.types import DateType, StringType, StructField, StructType

from spark_app.ingestion.cache import read_known
from spark_app.ingestion.fetching import land
from spark_app.ingestion.gate import judge_answers
from spark_app.ingestion.landing import Landing
from spark_app.ingestion.staging_rows import read_holdings, recover_unstaged, stage_holdings
from spark_app.pipeline.context import StageContext, StageOutput
from spark_app.schemas import ETF_HOLDINGS
from spark_app.sources.contract import FetchRequest, Kind, Outcome
from spark_app.storage.postgres.publish import Publication, RowSet
from spark_app.transforms.holdings import ranked_holdings
from spark_app.universe import FUNDS

STAGE = "stage2_etf_holdings"
_SNAPSHOT = StructType([StructField("etf_ticker", StringType()), StructField("snapshot_date", DateType())])


def run(context: StageContext) -> StageOutput:
    """Fetch the funds' holdings, stage the snapshots that are new, and serve those that stand for this run."""
    known = read_known(context, FUNDS, [Kind.HOLDINGS])
    recover_unstaged(context, STAGE)
    requests = [FetchRequest(Kind.HOLDINGS, (ticker,), window_end=context.as_of) for ticker in FUNDS]
    held = known.held(requests)
    there = held.summary(Kind.HOLDINGS).answered
    due = [request for request in requests if request.tickers[0] not in there]
    landing = held.joined(land(context, due))
    version = stage_holdings(context) if landing.came(Kind.HOLDINGS) else 0
    coverage = context.settings.gate.etf_coverage
    verdict = judge_answers(context, landing, Kind.HOLDINGS, what="funds", coverage=coverage)
    return StageOutput(
        message=_message(landing),
        publications=(_publication(context, landing),) if verdict.may_publish else (),
        fetched=landing.summary(Kind.HOLDINGS),
        errors=landing.errors(),
        delta_versions={"holdings": version},
        failure=verdict.failure,
    )


def _publication(context: StageContext, landing: Landing) -> Publication:
    snapshots = [(t.ticker, t.snapshot_date) for t in landing.tickers if t.outcome == Outcome.OK]
    fetched = context.local_frame(snapshots, _SNAPSHOT)
    holdings = read_holdings(context).join(F.broadcast(fetched), on=["etf_ticker", "snapshot_date"], how="left_semi")
    return Publication(ETF_HOLDINGS, ranked_holdings(holdings), RowSet(("etf_ticker", "as_of_date"), tuple(snapshots)))


def _message(landing: Landing) -> str:
    dates = sorted({str(t.snapshot_date) for t in landing.tickers if t.snapshot_date is not None})
    parts = [landing.summary(Kind.HOLDINGS).describe("funds")]
    if dates:
        parts.append("snapshots of " + ", ".join(dates))
    parts.append(f"{sum(t.left_out for t in landing.tickers)} rows that are no shares left out")
    return ", ".join(parts)
