"""The results of one as-of date as they are served, with what a reader has to know about them."""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from spark_app import market_calendar
from spark_app.config.installation import LAUNCHER
from spark_app.errors import DataIncompleteError, UsageError
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.migrate import migrate
from spark_app.storage.postgres.retry import retried

Rows = list[dict[str, Any]]

_DATES = "SELECT DISTINCT as_of_date FROM analytics_trending_sectors ORDER BY as_of_date"
_TRENDS = """
SELECT etf_ticker, sector_name, period_days, return_pct, benchmark_return_pct, is_trending, rank, unavailable_reason
FROM analytics_trending_sectors WHERE as_of_date = %(as_of)s ORDER BY etf_ticker, period_days
"""
_POSITIONS = """
SELECT ticker, company_name, sector, portfolio_weight, return_5d, return_10d, return_20d, market_cap, market_cap_basis,
       allocation_reason
FROM analytics_portfolio_allocation WHERE as_of_date = %(as_of)s ORDER BY portfolio_weight DESC, ticker
"""
_EXCLUDED = """
SELECT reason, count(*) AS stocks FROM analytics_portfolio_exclusion WHERE as_of_date = %(as_of)s
GROUP BY reason ORDER BY stocks DESC, reason
"""
_ALLOCATED = """
SELECT coalesce((options ->> 'basis_sessions')::integer, 20) AS basis_sessions FROM portfolio_runs()
WHERE as_of_date = %(as_of)s
"""
# The as-of join of `transforms/point_in_time.py`: the newest snapshot not after the date, else the earliest after it.
_SNAPSHOTS = """
SELECT DISTINCT ON (etf_ticker) etf_ticker, as_of_date AS snapshot_date, source, coverage_percent,
       as_of_date > %(as_of)s AS is_look_ahead
FROM collected_meta_etf WHERE etf_type = 'sector'
ORDER BY etf_ticker, as_of_date > %(as_of)s,
         CASE WHEN as_of_date > %(as_of)s THEN as_of_date END, as_of_date DESC, coverage_percent
"""
_TABLES = (
    "collected_daily_etf_ohlc",
    "collected_daily_benchmark_ohlc",
    "collected_meta_etf",
    "collected_daily_stock_history",
    "analytics_trending_sectors",
    "analytics_portfolio_allocation",
    "analytics_portfolio_exclusion",
    "logs_pipeline_run",
    "logs_consumer_error",
)
_TEN_LARGEST = "yahoo"
"""The source of holdings that lists the ten largest of a fund only; the issuer's files have all."""


@dataclass(frozen=True)
class Results:
    """The results of one as-of date.

    Attributes:
        is_synthetic: the data is made up.
        trends: a row per sector fund and period; positions: the portfolio, the largest weight first.
        excluded: the number of stocks by reason.
        basis_sessions: the period of the portfolio, None where none was computed.
        snapshots: the snapshot of each sector fund that the date uses.
        newest: the newest as-of date served; missing: the sessions completed since then, which have no results.
        tables: the number of rows of each table.
    """

    as_of: dt.date
    is_synthetic: bool
    trends: Rows
    positions: Rows
    excluded: dict[str, int]
    basis_sessions: int | None
    snapshots: Rows
    newest: dt.date
    missing: Sequence[dt.date]
    tables: dict[str, int]

    @property
    def look_ahead_holdings(self) -> dict[str, dt.date]:
        """The funds whose snapshot is dated after the as-of date, each with its date."""
        return {row["etf_ticker"]: row["snapshot_date"] for row in self.snapshots if row["is_look_ahead"]}

    @property
    def look_ahead_quotes(self) -> list[str]:
        """The positions whose market cap comes from a quote after the as-of date."""
        return [row["ticker"] for row in self.positions if row["market_cap_basis"] == "later_quote"]

    @property
    def ten_largest_only(self) -> dict[str, float]:
        """The funds of which only the ten largest holdings are known, each with the percentage that they cover."""
        of_source = [row for row in self.snapshots if row["source"] == _TEN_LARGEST]
        return {row["etf_ticker"]: float(row["coverage_percent"] or 0) for row in of_source}


@retried
def read_results(database: Database, as_of: dt.date | None, now: dt.datetime) -> Results | None:
    """Read the results of an as-of date, the newest one served where none is named; None where none is served.

    Raises: UsageError: nothing is served for the date. ServiceUnavailableError: Postgres failed.
    """
    migrate(database)
    with translated_errors("reading the results"), database.connect() as connection:
        dates = [row["as_of_date"] for row in _rows(connection, _DATES)]
        if not dates:
            return None
        chosen = as_of or dates[-1]
        if chosen not in dates:
            raise UsageError(f"no results for {chosen}: {_nearest(dates, chosen)}")
        given = {"as_of": chosen}
        allocated = _rows(connection, _ALLOCATED, **given)
        origin = _rows(connection, "SELECT origin FROM logs_data_origin")
        return Results(
            as_of=chosen,
            is_synthetic=[row["origin"] for row in origin] == ["synthetic"],
            trends=_rows(connection, _TRENDS, **given),
            positions=_rows(connection, _POSITIONS, **given),
            excluded={row["reason"]: row["stocks"] for row in _rows(connection, _EXCLUDED, **given)},
            basis_sessions=allocated[0]["basis_sessions"] if allocated else None,
            snapshots=_rows(connection, _SNAPSHOTS, **given),
            newest=dates[-1],
            missing=_sessions_after(dates[-1], now),
            tables={name: _count(connection, name) for name in _TABLES},
        )


def no_results() -> DataIncompleteError:
    """Nothing is served yet; names the job that brings results."""
    return DataIncompleteError(f"there are no results yet: run {LAUNCHER} daily_pipeline")


def _nearest(dates: Sequence[dt.date], day: dt.date) -> str:
    place = bisect.bisect_left(dates, day)
    near = [str(date) for date in (*dates[max(0, place - 1) : place], *dates[place : place + 1])]
    return f"the nearest date served is {near[0]}" if len(near) == 1 else f"the nearest served are {' and '.join(near)}"


def _sessions_after(newest: dt.date, now: dt.datetime) -> list[dt.date]:
    last = market_calendar.last_completed_session(now)
    return market_calendar.sessions_between(newest + dt.timedelta(days=1), last)


def _rows(connection: psycopg.Connection, query: LiteralString, **given: object) -> Rows:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, given or None).fetchall()


def _count(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    return int(row[0]) if row is not None else 0
