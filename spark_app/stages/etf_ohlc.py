"""Stage 1: daily prices of SPY, QQQ and the sector funds."""

from __future__ import annotations

import datetime as dt

from pyspark.sql import functions as F

from spark_app.funds import BENCHMARKS, FUNDS
from spark_app.schemas import BENCHMARK_OHLC, ETF_OHLC
from spark_app.sources.contract import Kind
from spark_app.stages.context import FetchSummary, StageContext, StageOutput
from spark_app.stages.fetching import chart_requests, land
from spark_app.stages.gate import judge
from spark_app.stages.staging_rows import first_dates, read_bars, stage_bars
from spark_app.storage.publish import Publication
from spark_app.transforms.prices import daily_prices

STAGE = "stage1_etf_ohlc"
_TICKERS = tuple(dict.fromkeys((*FUNDS, *BENCHMARKS)))


def run(context: StageContext) -> StageOutput:
    """Fetch the funds' bars, stage what is new, and serve the sessions asked for."""
    # One session more than is served: the first price change needs the close before it.
    sessions = context.window(context.request.days + 1)
    asked = first_dates(context, _TICKERS, sessions[0])
    landing = land(context, STAGE, chart_requests(asked, context.request.now))
    staged = stage_bars(context, STAGE, _TICKERS, min(asked.values()))
    summary = landing.summary(Kind.CHART)
    verdict = judge(context, STAGE, summary, what="funds", coverage=context.settings.gate.etf_coverage)
    return StageOutput(
        message=_message(summary, len(staged.rejected)),
        publications=_publications(context, sessions) if verdict.may_publish else (),
        fetched=summary,
        errors=landing.errors() + staged.rejected,
        rows_rejected=len(staged.rejected),
        delta_versions={"bars": staged.version},
        failure=verdict.failure,
    )


def _publications(context: StageContext, sessions: list[dt.date]) -> tuple[Publication, ...]:
    """The rows of both fund tables for the sessions asked for, loaded together."""
    bars = read_bars(context, sessions[0], context.as_of).where(F.col("ticker").isin(list(_TICKERS)))
    prices = daily_prices(bars, context.numbered_sessions(sessions))
    served = prices.where(F.col("trade_date") >= sessions[-context.request.days :][0])
    return (Publication(ETF_OHLC, served, only=FUNDS), Publication(BENCHMARK_OHLC, served, only=BENCHMARKS))


def _message(summary: FetchSummary, rejected: int) -> str:
    parts = [f"{len(summary.answered)} of {summary.asked} funds answered"]
    if summary.failed:
        parts.append("without prices: " + ", ".join(f"{t} ({o})" for t, (o, _) in sorted(summary.failed.items())))
    if rejected:
        parts.append(f"{rejected} bars rejected (see logs_consumer_error)")
    return ", ".join(parts)
