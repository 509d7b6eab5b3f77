"""Facts about the served tables for `verify_data`: all SQL of it."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import LiteralString, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from spark_app.schemas import ServedTable
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.publishing.checksums import checksum_sql

_Fact = TypeVar("_Fact")

_SPANS = """
WITH numbered AS (
    SELECT ticker, trade_date, number - row_number() OVER (PARTITION BY ticker ORDER BY trade_date) AS span
    FROM {table} JOIN unnest(%(sessions)s::date[]) WITH ORDINALITY AS calendar (session, number) ON session = trade_date
)
SELECT ticker, min(trade_date) AS first, max(trade_date) AS last, count(*) AS rows
FROM numbered GROUP BY ticker, span ORDER BY ticker COLLATE "C", first
"""
_SERVED_BY = """
SELECT DISTINCT served.ticker, run.run_id, run.as_of_date, (run.parameters ->> 'days')::integer AS sessions
FROM {table} AS served JOIN logs_pipeline_run AS run USING (run_id)
WHERE run.status = 'ok' AND run.stage = ANY (%(stages)s) AND run.parameters ? 'days'
"""
_GOOD_RUNS = """
SELECT NULL AS ticker, run_id, as_of_date, (parameters ->> 'days')::integer AS sessions
FROM logs_pipeline_run WHERE status = 'ok' AND stage = ANY (%(stages)s) AND parameters ? 'days'
"""
_INCOMPLETE_TRENDS = """
WITH dates AS (
    SELECT as_of_date FROM analytics_trending_sectors
    UNION
    SELECT as_of_date FROM logs_pipeline_run WHERE stage = 'stage3_trending_sectors' AND status = 'ok'
    AND as_of_date >= (SELECT min(as_of_date) FROM analytics_trending_sectors)
)
SELECT as_of_date || ' has ' || count(etf_ticker) || ' of ' || %(expected)s || ' rows' AS finding
FROM dates LEFT JOIN analytics_trending_sectors USING (as_of_date)
GROUP BY as_of_date HAVING count(etf_ticker) <> %(expected)s ORDER BY as_of_date DESC
"""
# Spark orders text by bytes.
_WRONG_TRENDS = """
WITH judged AS (
    SELECT *, coalesce(return_pct > benchmark_return_pct AND return_pct > 0, false) AS right_flag,
           CASE WHEN return_pct IS NOT NULL THEN row_number() OVER (
               PARTITION BY as_of_date, period_days ORDER BY return_pct DESC NULLS LAST, etf_ticker COLLATE "C"
           ) END AS right_rank
    FROM analytics_trending_sectors
)
SELECT as_of_date || ' ' || etf_ticker || ' over ' || period_days AS finding FROM judged
WHERE is_trending <> right_flag OR rank IS DISTINCT FROM right_rank
ORDER BY as_of_date DESC, etf_ticker, period_days
"""
# The ranks of positions have gaps: not every stock of a sector is a position.
_WRONG_POSITIONS = """
WITH measured AS (
    SELECT as_of_date, ticker, sector AS sector_name, measure.*
    FROM analytics_portfolio_allocation, LATERAL (VALUES
        (5, return_5d, sector_avg_5d, is_trending_5d, rank_5d),
        (10, return_10d, sector_avg_10d, is_trending_10d, rank_10d),
        (20, return_20d, sector_avg_20d, is_trending_20d, rank_20d)
    ) AS measure (period_days, own_return, sector_return, own_flag, own_rank)
), judged AS (
    SELECT measured.*, fund.return_pct AS fund_return,
           coalesce(fund.is_trending AND own_return > sector_return, false) AS right_flag,
           lag(own_rank) OVER (
               PARTITION BY as_of_date, sector_name, period_days ORDER BY own_return DESC NULLS LAST, ticker COLLATE "C"
           ) AS rank_before
    FROM measured LEFT JOIN analytics_trending_sectors AS fund USING (as_of_date, sector_name, period_days)
)
SELECT as_of_date || ' ' || ticker || ' over ' || period_days AS finding FROM judged
WHERE own_flag <> right_flag OR sector_return IS DISTINCT FROM fund_return
   OR (own_return IS NULL) <> (own_rank IS NULL) OR own_rank <= rank_before
ORDER BY as_of_date DESC, ticker, period_days
"""
_WRONG_WEIGHTS = """
SELECT as_of_date || ' sums to ' || sum(portfolio_weight) AS finding FROM analytics_portfolio_allocation
GROUP BY as_of_date HAVING sum(portfolio_weight) <> 1 ORDER BY as_of_date DESC
"""
_ALLOCATIONS = """
SELECT count(DISTINCT as_of_date) AS dates, min(as_of_date) AS first, max(as_of_date) AS last,
       count(DISTINCT as_of_date) FILTER (WHERE ticker IS NULL) AS without_position, count(ticker) AS positions
FROM portfolio_dates() LEFT JOIN analytics_portfolio_allocation USING (as_of_date)
"""
_LAST_RUNS = """
SELECT DISTINCT ON (stage) run_id, stage, as_of_date, status, started_at, finished_at, false AS is_repeated
FROM logs_pipeline_run ORDER BY stage, started_at DESC
"""
_UNFINISHED_RUNS = """
SELECT run_id, stage, as_of_date, status, started_at, finished_at, EXISTS (
    SELECT 1 FROM logs_pipeline_run AS later WHERE later.stage = own.stage AND later.as_of_date = own.as_of_date
    AND later.status = 'ok' AND later.started_at > own.started_at
) AS is_repeated
FROM logs_pipeline_run AS own WHERE status = 'running' ORDER BY started_at DESC
"""


@dataclass(frozen=True)
class TableFacts:
    """Size of a table; `bytes` include its indexes."""

    rows: int
    first: dt.date | None
    last: dt.date | None
    bytes: int


@dataclass(frozen=True)
class Span:
    """A ticker's served rows on consecutive sessions."""

    ticker: str
    first: dt.date
    last: dt.date
    rows: int


@dataclass(frozen=True)
class Served:
    """A good run and the number of sessions it served, ending with its as-of date; `ticker` is None for any."""

    ticker: str | None
    run_id: str
    as_of_date: dt.date
    sessions: int


@dataclass(frozen=True)
class RowSum:
    """Number of rows of one ticker, and their checksum."""

    ticker: str
    rows: int
    checksum: Decimal


@dataclass(frozen=True)
class Allocations:
    """Dates with a portfolio, including those without a position."""

    dates: int
    first: dt.date | None
    last: dt.date | None
    without_position: int
    positions: int


@dataclass(frozen=True)
class LoggedRun:
    """One run of a stage; `is_repeated`: a later one for the same date succeeded."""

    run_id: str
    stage: str
    as_of_date: dt.date
    status: str
    started_at: dt.datetime
    finished_at: dt.datetime | None
    is_repeated: bool


@contextlib.contextmanager
def verifying(database: Database) -> Iterator[psycopg.Connection]:
    """Yield a connection, with psycopg's errors translated."""
    with translated_errors("verifying"), database.connect_with_retries() as connection:
        yield connection


def table_facts(connection: psycopg.Connection, table: str, date: str) -> TableFacts:
    """Return a table's size, and the first and last value of its `date` column."""
    query = sql.SQL(
        "SELECT count(*) AS rows, min({date}::date) AS first, max({date}::date) AS last,"
        " pg_total_relation_size({name}) AS bytes FROM {table}"
    ).format(date=sql.Identifier(date), name=sql.Literal(table), table=sql.Identifier(table))
    return _all(connection, TableFacts, query)[0]


def read_spans(connection: psycopg.Connection, table: ServedTable, sessions: Sequence[dt.date]) -> list[Span]:
    """List the spans of consecutive `sessions` on which each ticker has rows."""
    query = sql.SQL(_SPANS).format(table=sql.Identifier(table.name))
    return _all(connection, Span, query, sessions=list(sessions))


def read_served(connection: psycopg.Connection, table: ServedTable, stages: Sequence[str]) -> list[Served]:
    """List the good runs that served rows of the table."""
    query = sql.SQL(_SERVED_BY).format(table=sql.Identifier(table.name))
    return _all(connection, Served, query, stages=list(stages))


def good_runs(connection: psycopg.Connection, stages: Sequence[str]) -> list[Served]:
    """List all good runs of stages that serve prices."""
    return _all(connection, Served, sql.SQL(_GOOD_RUNS), stages=list(stages))


def read_sums(connection: psycopg.Connection, table: ServedTable, columns: Sequence[str]) -> dict[str, RowSum]:
    """Return the checksum of each ticker's (or fund's) rows over `columns`."""
    fields = [table.schema[name] for name in columns]
    query = sql.SQL("SELECT {key} AS ticker, count(*) AS rows, {checksum} AS checksum FROM {table} GROUP BY 1").format(
        key=sql.Identifier(table.key[0]), checksum=checksum_sql(fields), table=sql.Identifier(table.name)
    )
    return {row.ticker: row for row in _all(connection, RowSum, query)}


def read_snapshots(connection: psycopg.Connection) -> list[tuple[str, dt.date]]:
    """List the fund and date of each served snapshot of holdings."""
    return connection.execute("SELECT DISTINCT etf_ticker, as_of_date FROM collected_meta_etf").fetchall()


def incomplete_trends(connection: psycopg.Connection, rows_per_date: int) -> list[str]:
    """Name the dates without a row for each sector and period."""
    return _findings(connection, _INCOMPLETE_TRENDS, expected=rows_per_date)


def wrong_trends(connection: psycopg.Connection) -> list[str]:
    """Name the rows of trends whose flag or rank does not follow from the stored returns."""
    return _findings(connection, _WRONG_TRENDS)


def wrong_positions(connection: psycopg.Connection) -> list[str]:
    """Name the positions whose flags or ranks do not follow from the stored returns."""
    return _findings(connection, _WRONG_POSITIONS)


def wrong_weights(connection: psycopg.Connection) -> list[str]:
    """Name the dates whose weights do not sum to exactly 1."""
    return _findings(connection, _WRONG_WEIGHTS)


def read_allocations(connection: psycopg.Connection) -> Allocations:
    """Return which dates have a portfolio."""
    return _all(connection, Allocations, sql.SQL(_ALLOCATIONS))[0]


def computed_dates(connection: psycopg.Connection, table: str) -> list[dt.date]:
    """List the as-of dates of a table or view of analytics, in order."""
    query = sql.SQL("SELECT DISTINCT as_of_date FROM {} ORDER BY 1").format(sql.Identifier(table))
    return [date for (date,) in connection.execute(query).fetchall()]


def last_runs(connection: psycopg.Connection) -> list[LoggedRun]:
    """List the last run of each stage."""
    return _all(connection, LoggedRun, sql.SQL(_LAST_RUNS))


def unfinished_runs(connection: psycopg.Connection) -> list[LoggedRun]:
    """List the runs with status `running`: they still run, or died."""
    return _all(connection, LoggedRun, sql.SQL(_UNFINISHED_RUNS))


def _findings(connection: psycopg.Connection, query: LiteralString, **parameters: object) -> list[str]:
    return [str(finding) for (finding,) in connection.execute(query, parameters).fetchall()]


def _all(
    connection: psycopg.Connection, kind: type[_Fact], query: sql.Composed | sql.SQL, **parameters: object
) -> list[_Fact]:
    return connection.cursor(row_factory=class_row(kind)).execute(query, parameters).fetchall()
