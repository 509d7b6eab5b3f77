"""Republishing: any served table once more from staging, for one session or a range of them in one pass."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, StringType, StructField, StructType

from spark_app import market_calendar
from spark_app.errors import DataIncompleteError
from spark_app.ingestion.cache import read_known
from spark_app.ingestion.staging_rows import read_bars, read_holdings, read_quotes
from spark_app.pipeline.context import StageContext, StageOutput
from spark_app.schemas import (
    BENCHMARK_OHLC,
    ETF_HOLDINGS,
    ETF_OHLC,
    PORTFOLIO_ALLOCATION,
    PORTFOLIO_EXCLUSION,
    SECTOR_TRENDS,
    STOCK_HISTORY,
    TRENDING_SECTORS,
    ServedTable,
)
from spark_app.sources.contract import Kind
from spark_app.stages.market import served_trends, trends_of, with_benchmark
from spark_app.stages.stage5_portfolio_allocation import decide, require_feasible
from spark_app.storage.postgres.publish import Publication, RowSet
from spark_app.transforms.allocation import portfolio_exclusions, portfolio_positions
from spark_app.transforms.holdings import ranked_holdings, sector_memberships
from spark_app.transforms.options import PortfolioOptions
from spark_app.transforms.point_in_time import join_point_in_time
from spark_app.transforms.prices import daily_prices
from spark_app.transforms.stock_history import stock_history
from spark_app.universe import BENCHMARK, BENCHMARKS, FUNDS, PRICED_FUNDS

STAGE = "republish"
_FIRST_ASKED = StructType([StructField("ticker", StringType()), StructField("first_asked", DateType())])
_FUND_DATES = StructType([StructField("as_of_date", DateType()), StructField("etf_ticker", StringType())])
_SNAPSHOT = ("etf_ticker", "snapshot_date")
_WINDOWS = StructType([StructField("as_of_date", DateType()), StructField("trade_date", DateType())])


def run(context: StageContext) -> StageOutput:
    """Rebuild the tables that the request names for its as-of dates, as the stages would have on each of them.

    Raises: DataIncompleteError: the benchmark has no bar on any of the dates.
    """
    trends = trends_of(context).collect()
    dates = with_benchmark(trends)
    if not dates:
        raise DataIncompleteError(f"no bars for {BENCHMARK} from {context.all_as_of[0]} to {context.as_of}")
    answered = dataclasses.replace(context, request=dataclasses.replace(context.request, as_of_dates=tuple(dates)))
    answers = [row for row in trends if row["as_of_date"] in dates]
    wanted = context.request.tables
    publications = [
        publication
        for tables, publish in _PUBLISHERS.items()
        if wanted is None or any(table.name in wanted for table in tables)
        for publication in publish(answered, answers)
        if wanted is None or publication.table.name in wanted
    ]
    missing = sorted(set(context.all_as_of) - set(dates))
    parts = [f"{len(dates)} sessions from {dates[0]} to {dates[-1]}"]
    if missing:
        parts.append(f"without bars of {BENCHMARK} and left out: {', '.join(map(str, missing))}")
    return StageOutput(message=", ".join(parts), publications=tuple(publications))


def _funds(context: StageContext, _trends: Sequence[Row]) -> list[Publication]:
    prices = _prices(context, _windows(context)[0][1]).where(F.col("ticker").isin(list(PRICED_FUNDS)))
    served = _without_first_asked(context, prices, PRICED_FUNDS)
    return [Publication(ETF_OHLC, served, only=FUNDS), Publication(BENCHMARK_OHLC, served, only=BENCHMARKS)]


def _holdings(context: StageContext, _trends: Sequence[Row]) -> list[Publication]:
    """The snapshots of these dates, and the one of each fund that stands for the first of them."""
    holdings, dates = read_holdings(context), context.all_as_of
    asked = context.local_frame([(dates[0], fund) for fund in FUNDS], _FUND_DATES)
    standing = join_point_in_time(asked, holdings, key="etf_ticker", date="snapshot_date")
    dated = holdings.where(F.col("snapshot_date").between(dates[0], dates[-1]))
    snapshots = standing.select(*_SNAPSHOT).union(dated.select(*_SNAPSHOT)).distinct().dropna().collect()
    wanted = F.broadcast(context.local_frame(snapshots, holdings.select(*_SNAPSHOT).schema))
    rows = ranked_holdings(holdings.join(wanted, on=list(_SNAPSHOT), how="left_semi"))
    owned = RowSet(("etf_ticker", "as_of_date"), tuple(tuple(row) for row in snapshots))
    return [Publication(ETF_HOLDINGS, rows, owned)]


def _trending(context: StageContext, trends: Sequence[Row]) -> list[Publication]:
    return [context.dated_publication(TRENDING_SECTORS, served_trends(trends))]


def _stocks(context: StageContext, trends: Sequence[Row]) -> list[Publication]:
    """The rows that stage 4 serves on each date; what several of them serve has the sector of the last one."""
    windows = _windows(context)
    members = sector_memberships(read_holdings(context), context.as_of_dates())
    if context.request.universe == "trending":
        trending = context.local_frame(trends, SECTOR_TRENDS).where("is_trending")
        members = members.join(F.broadcast(trending), on=["as_of_date", "etf_ticker"], how="left_semi")
    served = members.join(F.broadcast(context.local_frame(windows, _WINDOWS)), on="as_of_date", how="inner")
    sectors = served.groupBy("ticker", "trade_date").agg(F.max_by("sector", "as_of_date").alias("sector"))
    prices = _prices(context, windows[0][1]).join(
        sectors.select("ticker", "trade_date"), on=["ticker", "trade_date"], how="left_semi"
    )
    rows = stock_history(prices, sectors, read_quotes(context))
    return [Publication(STOCK_HISTORY, rows)]


def _portfolios(context: StageContext, trends: Sequence[Row]) -> list[Publication]:
    options = PortfolioOptions(**context.settings.portfolio.model_dump())
    members = sector_memberships(read_holdings(context), context.as_of_dates())
    decisions = decide(context, members, trends, options)
    positions = portfolio_positions(decisions, options).collect()
    require_feasible(positions, options)
    exclusions = portfolio_exclusions(decisions).collect()
    return [
        context.dated_publication(PORTFOLIO_ALLOCATION, positions),
        context.dated_publication(PORTFOLIO_EXCLUSION, exclusions),
    ]


def _windows(context: StageContext) -> list[tuple[dt.date, dt.date]]:
    """Each as-of date with the sessions that a stage serves on it, the earliest pair first."""
    days = context.request.days
    return [(as_of, session) for as_of in context.all_as_of for session in market_calendar.sessions_ending(as_of, days)]


def _prices(context: StageContext, first: dt.date) -> DataFrame:
    """The price rows from the session `first` to the last as-of date; the one before gives the first price change."""
    last = context.all_as_of[-1]
    sessions = market_calendar.sessions_between(market_calendar.sessions_ending(first, 2)[0], last)
    prices = daily_prices(read_bars(context, sessions[0], last), context.numbered_sessions(sessions))
    return prices.where(F.col("trade_date") >= first)


def _without_first_asked(context: StageContext, prices: DataFrame, tickers: Sequence[str]) -> DataFrame:
    """Leave out the session that the first fetch of a ticker began with: it was asked for the price change after it."""
    known = read_known(context, tickers, [Kind.CHART])
    first = [(ticker, known.first_asked.get(ticker, day)) for ticker, day in known.first_bars.items()]
    begins = F.broadcast(context.local_frame(first, _FIRST_ASKED))
    return (
        prices.join(begins, on="ticker", how="left")
        .where(F.col("trade_date") > F.col("first_asked"))
        .drop("first_asked")
    )


_PUBLISHERS: dict[tuple[ServedTable, ...], Callable[[StageContext, Sequence[Row]], list[Publication]]] = {
    (ETF_OHLC, BENCHMARK_OHLC): _funds,
    (ETF_HOLDINGS,): _holdings,
    (TRENDING_SECTORS,): _trending,
    (STOCK_HISTORY,): _stocks,
    (PORTFOLIO_ALLOCATION, PORTFOLIO_EXCLUSION): _portfolios,
}
