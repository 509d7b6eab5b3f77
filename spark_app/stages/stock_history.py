"""Stage 4: prices, names and market caps of the stocks that the trending sectors hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pyspark.sql import Row
from pyspark.sql import functions as F

from spark_app.errors import first_to_count
from spark_app.schemas import MEMBERSHIPS, STOCK_HISTORY
from spark_app.sources.contract import Kind
from spark_app.stages.context import FetchSummary, StageContext, StageOutput
from spark_app.stages.fetching import chart_requests, land, quote_requests
from spark_app.stages.gate import judge
from spark_app.stages.market import describe_stand_ins, read_members, read_sector_trends
from spark_app.stages.staging_rows import first_dates, read_bars, read_quotes, stage_bars, stage_quotes
from spark_app.storage.publish import Publication
from spark_app.transforms.prices import daily_prices
from spark_app.transforms.stock_history import stock_history

STAGE = "stage4_stock_history"


def run(context: StageContext) -> StageOutput:
    """Fetch bars and quotes of the universe, stage what is new, and serve the sessions asked for."""
    members = read_members(context)
    tickers = _universe(context, members)
    if not tickers:
        return StageOutput(message="no sector trends over any period: no stock to fetch")
    sessions = context.window(context.request.days + 1)
    asked = first_dates(context, tickers, sessions[0])
    charts = chart_requests(asked, context.request.now)
    landing = land(context, STAGE, [*charts, *quote_requests(tickers)])
    staged = stage_bars(context, STAGE, tickers, min(asked.values()))
    quotes_version = stage_quotes(context, STAGE)
    prices, caps = landing.summary(Kind.CHART), landing.summary(Kind.QUOTE)
    coverage = context.settings.gate.stock_coverage
    verdicts = [judge(context, STAGE, s, what=w, coverage=coverage) for s, w in ((prices, "stocks"), (caps, "quotes"))]
    return StageOutput(
        message=_message(context, members, prices, caps, len(staged.rejected)),
        publications=(_publication(context, members, tickers, sessions),)
        if all(v.may_publish for v in verdicts)
        else (),
        fetched=prices,
        errors=landing.errors() + staged.rejected,
        rows_rejected=len(staged.rejected),
        delta_versions={"bars": staged.version, "quotes": quotes_version},
        failure=first_to_count([v.failure for v in verdicts if v.failure]),
    )


def _universe(context: StageContext, members: Sequence[Row]) -> list[str]:
    """The members of the sectors that trend over any period, or with `--universe all` of all sectors."""
    if context.request.universe == "all":
        return sorted(row["ticker"] for row in members)
    trending = {row["etf_ticker"] for row in read_sector_trends(context) if row["is_trending"]}
    return sorted(row["ticker"] for row in members if row["etf_ticker"] in trending)


def _publication(
    context: StageContext, members: Sequence[Row], tickers: Sequence[str], sessions: Sequence[dt.date]
) -> Publication:
    bars = read_bars(context, sessions[0], context.as_of).where(F.col("ticker").isin(list(tickers)))
    prices = daily_prices(bars, context.numbered_sessions(sessions))
    served = prices.where(F.col("trade_date") >= sessions[-context.request.days :][0])
    memberships = context.local_frame(members, MEMBERSHIPS)
    rows = stock_history(served, memberships, read_quotes(context))
    return Publication(STOCK_HISTORY, rows)


def _message(
    context: StageContext, members: Sequence[Row], prices: FetchSummary, caps: FetchSummary, rejected: int
) -> str:
    parts = [
        f"{len(prices.answered)} of {prices.asked} stocks answered",
        f"{len(caps.answered)} with a quote",
        describe_stand_ins(context, members),
    ]
    if prices.failed:
        parts.append("without prices: " + ", ".join(f"{t} ({o})" for t, (o, _) in sorted(prices.failed.items())[:10]))
    if rejected:
        parts.append(f"{rejected} bars rejected (see logs_consumer_error)")
    return ", ".join(part for part in parts if part)
