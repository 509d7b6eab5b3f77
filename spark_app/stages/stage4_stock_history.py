"""Stage 4: prices, names and market caps of the stocks that the trending sectors hold."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Row
from pyspark.sql import functions as F

from spark_app.errors import first_to_count
from spark_app.ingestion.bars import CollectedBars, collect_bars
from spark_app.ingestion.cache import read_known
from spark_app.ingestion.fetching import quote_requests
from spark_app.ingestion.gate import judge_answers, judge_bars
from spark_app.ingestion.landing import Landing
from spark_app.ingestion.staging_rows import read_quotes
from spark_app.pipeline.context import StageContext, StageOutput
from spark_app.schemas import MEMBERSHIPS, STOCK_HISTORY
from spark_app.sources.contract import Kind
from spark_app.stages.market import describe_stand_ins, read_members, read_sector_trends
from spark_app.storage.postgres.publish import Publication
from spark_app.transforms.prices import daily_prices
from spark_app.transforms.stock_history import stock_history

STAGE = "stage4_stock_history"


def run(context: StageContext) -> StageOutput:
    """Fetch bars and quotes of the universe, stage what is new, and serve the sessions asked for."""
    members = read_members(context)
    tickers = _universe(context, members)
    if not tickers:
        return StageOutput(message="no sector trends over any period: no stock to fetch")
    known = read_known(context, tickers, [Kind.CHART, Kind.QUOTE])
    quotes_held = known.held(quote_requests(tickers))
    quotes_due = [ticker for ticker in tickers if ticker not in quotes_held.of(Kind.QUOTE)]
    collected = collect_bars(context, STAGE, tickers, known, quote_requests(quotes_due))
    landing = quotes_held.joined(collected.landing)
    coverage = context.settings.gate.stock_coverage
    verdicts = [
        judge_bars(context, collected, tickers, what="stocks", coverage=coverage),
        judge_answers(context, landing, Kind.QUOTE, what="quotes", coverage=coverage),
    ]
    may_publish = all(verdict.may_publish for verdict in verdicts)
    return StageOutput(
        message=_message(context, members, landing, collected),
        publications=(_publication(context, members, collected),) if may_publish else (),
        fetched=landing.summary(Kind.CHART),
        errors=collected.errors,
        rows_rejected=len(collected.staged.rejected),
        delta_versions={"bars": collected.staged.version, "quotes": collected.staged.quotes_version},
        failure=first_to_count([v.failure for v in verdicts if v.failure]),
    )


def _universe(context: StageContext, members: Sequence[Row]) -> list[str]:
    """The members of the sectors that trend over any period, or with `--universe all` of all sectors."""
    if context.request.universe == "all":
        return sorted(row["ticker"] for row in members)
    trending = {row["etf_ticker"] for row in read_sector_trends(context) if row["is_trending"]}
    return sorted(row["ticker"] for row in members if row["etf_ticker"] in trending)


def _publication(context: StageContext, members: Sequence[Row], collected: CollectedBars) -> Publication:
    prices = daily_prices(collected.bars, context.numbered_sessions(collected.sessions))
    served = prices.where(F.col("trade_date") >= collected.first_served)
    memberships = context.local_frame(members, MEMBERSHIPS)
    return Publication(STOCK_HISTORY, stock_history(served, memberships, read_quotes(context)))


def _message(context: StageContext, members: Sequence[Row], landing: Landing, collected: CollectedBars) -> str:
    parts = [
        landing.summary(Kind.CHART).describe("stocks"),
        landing.summary(Kind.QUOTE).describe("quotes"),
        describe_stand_ins(context, members),
        *collected.describe(),
    ]
    return ", ".join(part for part in parts if part)
