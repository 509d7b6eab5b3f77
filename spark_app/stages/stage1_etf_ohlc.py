"""Stage 1, and the backfills of the same tables: daily prices of SPY, QQQ and the sector funds."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pyspark.sql import functions as F

from spark_app.ingestion.bars import CollectedBars, collect_bars
from spark_app.ingestion.cache import read_known
from spark_app.ingestion.gate import judge_bars
from spark_app.pipeline.context import StageContext, StageOutput
from spark_app.schemas import BENCHMARK_OHLC, ETF_OHLC
from spark_app.sources.contract import Kind
from spark_app.storage.postgres.publish import Publication
from spark_app.transforms.prices import daily_prices
from spark_app.universe import BENCHMARKS, FUNDS, PRICED_FUNDS

STAGE = "stage1_etf_ohlc"
BACKFILL = "backfill_etf_benchmarks"
STAGGERED = "staggered_sector_backfill"


def run(context: StageContext) -> StageOutput:
    """Fetch the bars of all funds and of QQQ, stage what is new, and serve the sessions asked for."""
    return collect_funds(context, STAGE, PRICED_FUNDS)


def backfill(context: StageContext) -> StageOutput:
    """The same for the funds that the request names, by default all; `BACKFILL`."""
    return collect_funds(context, BACKFILL, context.request.tickers or FUNDS)


def backfill_staggered(context: StageContext) -> StageOutput:
    """The same for the one fund that the request names; `STAGGERED`."""
    return collect_funds(context, STAGGERED, context.request.tickers or ())


def collect_funds(context: StageContext, stage: str, tickers: Sequence[str]) -> StageOutput:
    """Bring the bars of some funds up to date and serve them, if the gate lets them pass."""
    collected = collect_bars(context, stage, tickers, read_known(context, tickers, [Kind.CHART]))
    # QQQ stands beside the others for comparison; nothing is computed from it.
    counted = [ticker for ticker in tickers if ticker in FUNDS]
    verdict = judge_bars(context, collected, counted, what="funds", coverage=context.settings.gate.etf_coverage)
    summary = collected.landing.summary(Kind.CHART)
    return StageOutput(
        message=", ".join([summary.describe("funds"), *collected.describe()]),
        publications=_publications(context, collected, tickers) if verdict.may_publish else (),
        fetched=summary,
        errors=collected.errors,
        rows_rejected=len(collected.staged.rejected),
        delta_versions={"bars": collected.staged.version},
        failure=verdict.failure,
    )


def _publications(context: StageContext, collected: CollectedBars, tickers: Collection[str]) -> tuple[Publication, ...]:
    """The rows of both fund tables, loaded together."""
    sessions = context.numbered_sessions(collected.sessions)
    served = daily_prices(collected.bars, sessions).where(F.col("trade_date") >= collected.first_served)
    tables = ((ETF_OHLC, FUNDS), (BENCHMARK_OHLC, BENCHMARKS))
    chosen = ((table, tuple(t for t in funds if t in tickers)) for table, funds in tables)
    return tuple(Publication(table, served, only=only) for table, only in chosen if only)
