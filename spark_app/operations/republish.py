"""Rebuilding served tables from staging, for one session or a range of them in one pass."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, StringType, StructField, StructType

from spark_app import market_calendar
from spark_app.errors import DataIncompleteError
from spark_app.ingestion.bars_to_serve import collect_restatements
from spark_app.ingestion.cache import FORGOTTEN, read_known
from spark_app.ingestion.current import read_bars, read_holdings, read_quotes
from spark_app.ingestion.waves import read_landings
from spark_app.pipeline.result import StageResult
from spark_app.pipeline.run import Run
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
from spark_app.stages.market import (
    memberships_of,
    portfolio_provenance,
    served_trends,
    trends_of,
    with_benchmark,
)
from spark_app.stages.stage5_portfolio_allocation import (
    contradicted_errors,
    contradicted_splits_of,
    decide,
    describe_contradicted,
)
from spark_app.storage.delta.staging import BARS_TABLE, FETCHES_TABLE, HOLDINGS_TABLE, QUOTES_TABLE
from spark_app.storage.postgres.provenance import Provenance
from spark_app.storage.postgres.publishing.publication import Publication, RowSet
from spark_app.transforms.allocation import portfolio_exclusions, portfolio_positions
from spark_app.transforms.holdings import ranked_holdings
from spark_app.transforms.options import PortfolioOptions
from spark_app.transforms.point_in_time import join_point_in_time
from spark_app.transforms.prices import daily_prices
from spark_app.transforms.stock_history import stock_history
from spark_app.universe import BENCHMARK, BENCHMARKS, FUNDS, PRICED_FUNDS

_COLLECTED = (ETF_OHLC, BENCHMARK_OHLC, ETF_HOLDINGS, STOCK_HISTORY)
_FIRST_ASKED = StructType([StructField("ticker", StringType()), StructField("first_asked", DateType())])
_FUND_DATES = StructType([StructField("as_of_date", DateType()), StructField("etf_ticker", StringType())])
_SNAPSHOT = ("etf_ticker", "snapshot_date")
_WINDOWS = StructType([StructField("as_of_date", DateType()), StructField("trade_date", DateType())])


def run(run: Run) -> StageResult:
    """Rebuild the tables that the request names for its as-of dates, as the stages would have on each of them.

    Raises: DataIncompleteError: the benchmark has no bar on any of the dates.
    """
    trends = trends_of(run).collect()
    dates = with_benchmark(trends)
    if not dates:
        raise DataIncompleteError(f"no bars for {BENCHMARK} from {run.as_of_dates[0]} to {run.as_of}")
    answered = run.asking(as_of_dates=tuple(dates))
    answers = [row for row in trends if row["as_of_date"] in dates]
    wanted = run.request.tables
    publications = [
        publication
        for tables, publish in _PUBLISHERS.items()
        if wanted is None or any(table.name in wanted for table in tables)
        for publication in publish(answered, answers)
        if wanted is None or publication.table.name in wanted
    ]
    positions, exclusions = _decided(publications)
    splits = contradicted_splits_of(answered, positions, exclusions) if positions or exclusions else []
    missing = sorted(set(run.as_of_dates) - set(dates))
    parts = [f"1 session, {dates[0]}" if len(dates) == 1 else f"{len(dates)} sessions from {dates[0]} to {dates[-1]}"]
    if missing:
        parts.append(f"skipped, no bar of {BENCHMARK}: {', '.join(map(str, missing))}")
    if splits:
        parts.append(describe_contradicted(splits))
    return StageResult(
        message=", ".join(parts),
        publications=tuple(publications),
        errors=contradicted_errors(splits),
        provenance=_provenance(answered, publications, positions, exclusions),
    )


def _decided(publications: Sequence[Publication]) -> tuple[list[Row], list[Row]]:
    """The positions and exclusions among what is published."""
    tables = (PORTFOLIO_ALLOCATION, PORTFOLIO_EXCLUSION)
    rows = {p.table.name: p.rows.collect() for p in publications if p.table in tables}
    return rows.get(tables[0].name, []), rows.get(tables[1].name, [])


def _provenance(
    run: Run, publications: Sequence[Publication], positions: Sequence[Row], exclusions: Sequence[Row]
) -> Provenance:
    """What was read; with collected tables also the fetches and restatements that staging has, for a lost database."""
    if any(publication.table in (PORTFOLIO_ALLOCATION, PORTFOLIO_EXCLUSION) for publication in publications):
        provenance = portfolio_provenance(run, positions, exclusions)
        if any(publication.table == PORTFOLIO_ALLOCATION for publication in publications):
            # Of a date without any position this is all that says that its portfolio was computed.
            dates = {"portfolio_dates": [str(date) for date in run.as_of_dates]}
            provenance = replace(provenance, inputs={**provenance.inputs, **dates})
    else:
        provenance = Provenance({"staging_versions": run.staging_versions([BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE])})
    if any(publication.table in _COLLECTED for publication in publications):
        fetches = run.staging.read(FETCHES_TABLE).where(F.col("outcome") != FORGOTTEN)
        landings = read_landings(fetches).items()
        logged = tuple(fetch for run_id, landing in landings for fetch in landing.logged(run_id))
        restated = collect_restatements(run.staging.read(BARS_TABLE))
        provenance = replace(provenance, fetches=logged, earlier_restatements=restated)
    return provenance


def _funds(run: Run, _trends: Sequence[Row]) -> list[Publication]:
    prices = _prices(run, _windows(run)[0][1]).where(F.col("ticker").isin(list(PRICED_FUNDS)))
    served = _without_first_asked(run, prices, PRICED_FUNDS)
    return [Publication(ETF_OHLC, served, only=FUNDS), Publication(BENCHMARK_OHLC, served, only=BENCHMARKS)]


def _holdings(run: Run, _trends: Sequence[Row]) -> list[Publication]:
    """The snapshots of these dates, and the snapshot of each fund as of the first of them."""
    holdings, dates = read_holdings(run), run.as_of_dates
    asked = run.frame([(dates[0], fund) for fund in FUNDS], _FUND_DATES)
    as_of_first = join_point_in_time(asked, holdings, key="etf_ticker", date="snapshot_date")
    dated = holdings.where(F.col("snapshot_date").between(dates[0], dates[-1]))
    snapshots = as_of_first.select(*_SNAPSHOT).union(dated.select(*_SNAPSHOT)).distinct().dropna().collect()
    wanted = F.broadcast(run.frame(snapshots, holdings.select(*_SNAPSHOT).schema))
    rows = ranked_holdings(holdings.join(wanted, on=list(_SNAPSHOT), how="left_semi"))
    owned = RowSet(("etf_ticker", "as_of_date"), tuple(tuple(row) for row in snapshots))
    return [Publication(ETF_HOLDINGS, rows, owned)]


def _trending(run: Run, trends: Sequence[Row]) -> list[Publication]:
    return [run.serve_dates(TRENDING_SECTORS, served_trends(trends))]


def _stocks(run: Run, trends: Sequence[Row]) -> list[Publication]:
    """The rows that stage 4 serves on each date; what several of them serve has the sector of the last one."""
    windows = _windows(run)
    members = memberships_of(run)
    if run.request.universe == "trending":
        trending = run.frame(trends, SECTOR_TRENDS).where("is_trending")
        members = members.join(F.broadcast(trending), on=["as_of_date", "etf_ticker"], how="left_semi")
    served = members.join(F.broadcast(run.frame(windows, _WINDOWS)), on="as_of_date", how="inner")
    sectors = served.groupBy("ticker", "trade_date").agg(F.max_by("sector", "as_of_date").alias("sector"))
    prices = _prices(run, windows[0][1]).join(
        sectors.select("ticker", "trade_date"), on=["ticker", "trade_date"], how="left_semi"
    )
    rows = stock_history(prices, sectors, read_quotes(run))
    return [Publication(STOCK_HISTORY, rows)]


def _portfolios(run: Run, trends: Sequence[Row]) -> list[Publication]:
    options = PortfolioOptions(**run.settings.portfolio.model_dump())
    members = memberships_of(run)
    decisions = decide(run, members, trends, options)
    positions = portfolio_positions(decisions, options).collect()
    exclusions = portfolio_exclusions(decisions).collect()
    return [
        run.serve_dates(PORTFOLIO_ALLOCATION, positions),
        run.serve_dates(PORTFOLIO_EXCLUSION, exclusions),
    ]


def _windows(run: Run) -> list[tuple[dt.date, dt.date]]:
    """Each as-of date with the sessions that a stage serves on it, the earliest pair first."""
    days = run.request.days
    return [(as_of, session) for as_of in run.as_of_dates for session in market_calendar.sessions_ending(as_of, days)]


def _prices(run: Run, first: dt.date) -> DataFrame:
    """The price rows from the session `first` to the last as-of date; the one before gives the first price change."""
    last = run.as_of_dates[-1]
    sessions = market_calendar.sessions_between(market_calendar.sessions_ending(first, 2)[0], last)
    prices = daily_prices(read_bars(run, sessions[0], last), run.sessions(sessions))
    return prices.where(F.col("trade_date") >= first)


def _without_first_asked(run: Run, prices: DataFrame, tickers: Sequence[str]) -> DataFrame:
    """Skip the first session of a ticker's first fetch: it only gives the price change of the next one."""
    known = read_known(run, tickers, [Kind.CHART])
    first = [(ticker, known.first_asked.get(ticker, day)) for ticker, day in known.first_bars.items()]
    begins = F.broadcast(run.frame(first, _FIRST_ASKED))
    return (
        prices.join(begins, on="ticker", how="left")
        .where(F.col("trade_date") > F.col("first_asked"))
        .drop("first_asked")
    )


_PUBLISHERS: dict[tuple[ServedTable, ...], Callable[[Run, Sequence[Row]], list[Publication]]] = {
    (ETF_OHLC, BENCHMARK_OHLC): _funds,
    (ETF_HOLDINGS,): _holdings,
    (TRENDING_SECTORS,): _trending,
    (STOCK_HISTORY,): _stocks,
    (PORTFOLIO_ALLOCATION, PORTFOLIO_EXCLUSION): _portfolios,
}
