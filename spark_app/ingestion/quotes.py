"""Quotes of stocks, with their market caps: up to 50 tickers a request, staged where they are new or differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import functions as F

from spark_app.ingestion.current import PROVENANCE, fetches_to_stage
from spark_app.ingestion.feeds import Feed, Staged
from spark_app.ingestion.landing import Landing
from spark_app.ingestion.waves import batches
from spark_app.pipeline.run import Run
from spark_app.sources.contract import FetchRequest, Kind
from spark_app.storage.delta.staging import QUOTES_TABLE
from spark_app.storage.postgres.locks import staging_table_lock
from spark_app.transforms.new_rows import new_quotes

QUOTES_PER_REQUEST = 50
"""Yahoo fails above 99 symbols a request; others saw trouble from 65 on."""


@dataclass(frozen=True, eq=False)
class Quotes(Feed):
    """The quotes of some stocks."""

    kind = Kind.QUOTE
    table = QUOTES_TABLE

    def requests(self, tickers: Sequence[str]) -> list[FetchRequest]:
        return [FetchRequest(self.kind, tuple(batch)) for batch in batches(tickers, QUOTES_PER_REQUEST)]

    def stage(self, _landing: Landing, /) -> Staged:
        return Staged({self.table: stage_quotes(self.run)})


def stage_quotes(run: Run, *, runs: Sequence[str] = ()) -> int:
    """Stage the quotes of this run's fetches, or of other `runs`, that are new or differ; returns the version."""
    with staging_table_lock(run.database, QUOTES_TABLE):
        fetched = fetches_to_stage(run, Kind.QUOTE, runs).where(F.col("quote").isNotNull())
        new = new_quotes(fetched.select("ticker", "quote.*", *PROVENANCE), run.staging.read(QUOTES_TABLE))
        return run.staging.append(QUOTES_TABLE, new)
