"""Compares what Postgres serves with staging: gaps against the exchange calendar, and values, ticker by ticker."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, StringType, StructField, StructType

from spark_app import market_calendar
from spark_app.ingestion.current import read_bars, read_holdings, read_quotes
from spark_app.pipeline.run import Run
from spark_app.schemas import ETF_HOLDINGS, MEMBERSHIPS, STOCK_HISTORY, ServedTable
from spark_app.storage.delta.staging import BARS_TABLE
from spark_app.storage.postgres.publishing.checksums import checksum
from spark_app.storage.postgres.verify import (
    RowSum,
    Served,
    Span,
    good_runs,
    read_served,
    read_snapshots,
    read_spans,
    read_sums,
)
from spark_app.transforms.holdings import ranked_holdings
from spark_app.transforms.prices import daily_prices
from spark_app.transforms.stock_history import stock_history
from spark_app.universe import FUNDS

_TICKER, _DAY = StructField("ticker", StringType()), StructField("trade_date", DateType())
_SPANS = StructType([_TICKER, StructField("first", DateType()), StructField("last", DateType())])
_SNAPSHOTS = StructType([StructField("etf_ticker", StringType()), StructField("snapshot_date", DateType())])

Dates = Mapping[str, Sequence[dt.date]]
"""Ticker -> sessions."""


@dataclass(frozen=True)
class Gaps:
    """Sessions between a ticker's first and last served one that are not served, and those that should be."""

    open: Dates
    """No good run covered them, or the source had no bar."""
    lost: Dates
    """A good run served them, by the run log, and they are missing now."""


@dataclass(frozen=True)
class Agreement:
    """How many rows of how many tickers were compared, and what differs, ticker by ticker."""

    tickers: int
    rows: int
    differences: tuple[str, ...]


def find_gaps(run: Run, connection: psycopg.Connection, table: ServedTable, stages: Sequence[str]) -> Gaps:
    """Compare what a price table serves with the exchange calendar and with the good runs of `stages`."""
    calendar = market_calendar.sessions_between(market_calendar.FIRST_SESSION, run.as_of)
    spans = read_spans(connection, table, calendar)
    if not spans:
        return Gaps({}, {})
    sessions = [session for session in calendar if session >= min(span.first for span in spans)]
    served = _served_dates(spans, sessions)
    covered = _covered(run, connection, table, stages, sessions)
    absent = {ticker: dates for ticker in served if (dates := covered.get(ticker, set()) - served[ticker])}
    staged = _staged(run, absent)
    lost = {
        ticker: sorted(d for d in dates if (ticker, d) in staged or (ticker in FUNDS and d > min(served[ticker])))
        for ticker, dates in absent.items()
    }
    between = {t: {s for s in sessions if min(days) < s < max(days)} - days for t, days in served.items()}
    unexplained = {ticker: sorted(days - set(lost.get(ticker, ()))) for ticker, days in between.items()}
    return Gaps(_without_empty(unexplained), _without_empty(lost))


def compare_prices(run: Run, connection: psycopg.Connection, table: ServedTable) -> Agreement:
    """Compare every served price row with what the transforms derive from staging."""
    calendar = market_calendar.sessions_between(market_calendar.FIRST_SESSION, run.as_of)
    spans = read_spans(connection, table, calendar)
    # The sector of a stock is that of the run that served the row; staging alone does not have it.
    columns = [name for name in (*table.key, *table.compared) if name != "sector"]
    rows = _derived_prices(run, table, spans) if spans else None
    return _compare(connection, table, columns, rows)


def compare_holdings(run: Run, connection: psycopg.Connection) -> Agreement:
    """Compare every served snapshot of holdings with what the transforms derive from staging."""
    snapshots = read_snapshots(connection)
    served = F.broadcast(run.frame(snapshots, _SNAPSHOTS))
    holdings = read_holdings(run).join(served, on=["etf_ticker", "snapshot_date"], how="left_semi")
    columns = [*ETF_HOLDINGS.key, *ETF_HOLDINGS.compared]
    return _compare(connection, ETF_HOLDINGS, columns, ranked_holdings(holdings) if snapshots else None)


def _derived_prices(run: Run, table: ServedTable, spans: Sequence[Span]) -> DataFrame:
    """Compute the rows of the sessions that are served."""
    # The session before gives the first price change.
    first = market_calendar.sessions_ending(min(span.first for span in spans), 2)[0]
    last = max(span.last for span in spans)
    tickers = sorted({span.ticker for span in spans})
    bars = read_bars(run, first, last).where(F.col("ticker").isin(tickers))
    rows = daily_prices(bars, run.sessions(market_calendar.sessions_between(first, last)))
    if table is STOCK_HISTORY:
        rows = stock_history(rows, run.frame([], MEMBERSHIPS), read_quotes(run))
    served = run.frame([(span.ticker, span.first, span.last) for span in spans], _SPANS)
    is_served = F.col("trade_date").between(F.col("first"), F.col("last"))
    return rows.join(F.broadcast(served), on="ticker", how="inner").where(is_served)


def _compare(
    connection: psycopg.Connection, table: ServedTable, columns: Sequence[str], rows: DataFrame | None
) -> Agreement:
    fields = [table.schema[name] for name in columns]
    key = F.col(table.key[0]).alias("ticker")
    summed = rows.groupBy(key).agg(F.count("*").alias("rows"), checksum(fields).alias("checksum")) if rows else None
    derived = {row["ticker"]: RowSum(**row.asDict()) for row in (summed.collect() if summed else [])}
    served = read_sums(connection, table, columns)
    differing = sorted(ticker for ticker in served if served[ticker] != derived.get(ticker))
    differences = tuple(_difference(served[ticker], derived.get(ticker)) for ticker in differing)
    return Agreement(len(served), sum(row.rows for row in served.values()), differences)


def _difference(served: RowSum, derived: RowSum | None) -> str:
    staged = derived.rows if derived else 0
    if served.rows != staged:
        return f"{served.ticker} ({served.rows} rows served, {staged} of them staged)"
    return f"{served.ticker} (values of its {served.rows} rows)"


def _served_dates(spans: Iterable[Span], sessions: Sequence[dt.date]) -> dict[str, set[dt.date]]:
    place = {session: number for number, session in enumerate(sessions)}
    served: dict[str, set[dt.date]] = {}
    for span in spans:
        served.setdefault(span.ticker, set()).update(sessions[place[span.first] : place[span.last] + 1])
    return served


def _covered(
    run: Run,
    connection: psycopg.Connection,
    table: ServedTable,
    stages: Sequence[str],
    sessions: Sequence[dt.date],
) -> dict[str, set[dt.date]]:
    """The sessions that good runs covered, by ticker.

    A run covered a ticker where a served row or a staged bar is of that run.
    """
    place = {session: number for number, session in enumerate(sessions)}
    runs = {run.run_id: run for run in good_runs(connection, stages)}
    # Runs with the same window cover the same sessions.
    windows: dict[str, set[tuple[dt.date, int]]] = {}
    for served in read_served(connection, table, stages):
        windows.setdefault(served.ticker or "", set()).add((served.as_of_date, served.sessions))
    for ticker, run_ids in _staging_runs(run).items():
        found: list[Served] = [runs[run_id] for run_id in run_ids if run_id in runs]
        windows.setdefault(ticker, set()).update((run.as_of_date, run.sessions) for run in found)
    covered: dict[str, set[dt.date]] = {}
    for ticker, chosen in windows.items():
        for as_of, count in chosen:
            end = place.get(as_of, -1) + 1
            covered.setdefault(ticker, set()).update(sessions[max(0, end - count) : end])
    return covered


def _staging_runs(run: Run) -> dict[str, list[str]]:
    """List the runs of each ticker's staged bars."""
    runs = F.collect_set("run_id").alias("runs")
    rows = run.staging.read(BARS_TABLE).groupBy("ticker").agg(runs).collect()
    return {row["ticker"]: row["runs"] for row in rows}


def _staged(run: Run, dates: Mapping[str, Iterable[dt.date]]) -> set[tuple[str, dt.date]]:
    """Return those of these bars that staging has."""
    wanted = [(ticker, date) for ticker, days in dates.items() for date in sorted(days)]
    if not wanted:
        return set()
    keys = F.broadcast(run.frame(wanted, StructType([_TICKER, _DAY])))
    bars = run.staging.read(BARS_TABLE).join(keys, on=["ticker", "trade_date"], how="left_semi")
    return {(row["ticker"], row["trade_date"]) for row in bars.select("ticker", "trade_date").distinct().collect()}


def _without_empty(dates: Dates) -> Dates:
    return {ticker: days for ticker, days in dates.items() if days}
