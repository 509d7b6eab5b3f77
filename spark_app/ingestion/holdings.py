"""Holdings of funds: one request a fund; a snapshot is staged whole, where it is new or differs in any row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import functions as F

from spark_app.ingestion.current import PROVENANCE, fetches_to_stage
from spark_app.ingestion.feeds import Feed, Staged
from spark_app.ingestion.landing import Landing
from spark_app.pipeline.run import Run
from spark_app.schemas import WEIGHT_PERCENT
from spark_app.sources.contract import FetchRequest, Kind
from spark_app.storage.delta.staging import HOLDINGS_TABLE
from spark_app.storage.postgres.locks import staging_table_lock
from spark_app.transforms.new_rows import new_holdings


@dataclass(frozen=True, eq=False)
class Holdings(Feed):
    """The holdings of some funds."""

    kind = Kind.HOLDINGS
    table = HOLDINGS_TABLE

    def due(self, cached: Landing) -> list[FetchRequest]:
        """List the funds without a cached snapshot: an answer without holdings is no reason not to ask again."""
        answered = cached.summary(self.kind).answered
        return self.requests([ticker for ticker in self.tickers if ticker not in answered])

    def stage(self, _landing: Landing, /) -> Staged:
        return Staged({self.table: stage_holdings(self.run)})

    def requests(self, tickers: Sequence[str]) -> list[FetchRequest]:
        return [FetchRequest(self.kind, (ticker,), window_end=self.run.as_of) for ticker in tickers]


def stage_holdings(run: Run, *, runs: Sequence[str] = ()) -> int:
    """Stage the snapshots of this run's fetches, or of other `runs`, that are new or differ; returns the version."""
    with staging_table_lock(run.database, HOLDINGS_TABLE):
        fetched = fetches_to_stage(run, Kind.HOLDINGS, runs)
        holdings = fetched.select(
            F.col("ticker").alias("etf_ticker"), "snapshot_date", *PROVENANCE, F.inline("holdings")
        ).withColumn("holding_percent", F.col("holding_percent").cast(WEIGHT_PERCENT))
        new = new_holdings(holdings, run.staging.read(HOLDINGS_TABLE))
        return run.staging.append(HOLDINGS_TABLE, new)
