"""Stage 1: daily prices of SPY, QQQ and the sector funds."""

from __future__ import annotations

from collections.abc import Sequence

from spark_app.ingestion.bars_to_serve import bars_to_serve
from spark_app.ingestion.gate import require_bars
from spark_app.ingestion.ingest import ingest
from spark_app.pipeline.result import StageResult
from spark_app.pipeline.run import Run
from spark_app.schemas import BENCHMARK_OHLC, ETF_OHLC
from spark_app.sources.contract import Kind
from spark_app.stages.market import describe_unlisted
from spark_app.storage.postgres.publishing.publication import Publication
from spark_app.universe import BENCHMARKS, FUNDS, PRICED_FUNDS

_TABLES = ((ETF_OHLC, FUNDS), (BENCHMARK_OHLC, BENCHMARKS))


def run(run: Run) -> StageResult:
    """Collect daily prices of all funds."""
    return collect_funds(run, PRICED_FUNDS)


def collect_funds(run: Run, tickers: Sequence[str]) -> StageResult:
    """Bring the bars of some funds up to date, and serve the sessions asked for; the backfills do the same."""
    ingested = ingest(run, charts=tickers)
    bars = bars_to_serve(run, ingested, *[table for table, _ in _TABLES])
    prices = bars.prices(run)
    # Both tables come from one DataFrame, so their rows are loaded together.
    tables = {table: [t for t in funds if t in tickers] for table, funds in _TABLES}
    served = [Publication(table, prices, only=tuple(funds)) for table, funds in tables.items() if funds]
    # QQQ is collected for comparison only; nothing is computed from it.
    counted = [ticker for ticker in tickers if ticker in FUNDS]
    coverage = run.settings.gate.etf_coverage
    gate = require_bars(run, ingested.landing, ingested.completeness, counted, what="funds", coverage=coverage)
    message = [
        ingested.landing.summary(Kind.CHART).describe("funds"),
        describe_unlisted(run, tickers),
        *bars.describe(),
    ]
    return ingested.result(message, *served, gate=[gate], provenance=bars.provenance)
