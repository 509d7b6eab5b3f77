"""Reading the facts of the page: one transaction that only reads, so that all figures are of the same moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from spark_app import market_calendar
from spark_app.errors import UsageError
from spark_app.results.page import queries
from spark_app.results.page.facts import (
    Dataset,
    Departure,
    Exclusion,
    Facts,
    Fetches,
    Origin,
    PortfolioRun,
    Position,
    Price,
    Rejected,
    Restatement,
    RunRow,
    Sector,
    Trend,
    Turnover,
)
from spark_app.results.served import no_results
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.retry import retried
from spark_app.universe import BENCHMARKS, FUNDS

_Row = TypeVar("_Row")
_YEAR_SESSIONS, _RECENT_SESSIONS = 252, 21
_LOGGED_DAYS, _LOGGED_SHOWN = 30, 12


@retried
def read_facts(database: Database, as_of: dt.date | None, *, now: dt.datetime, basis_sessions: int) -> Facts:
    """Read what the page shows of an as-of date, None for the newest one.

    Args:
        now: when the page is made (UTC).
        basis_sessions: the period that decides, where no run says which it was.
    Raises: DataIncompleteError: there are no results. UsageError: there are none of this date.
    """
    with translated_errors("reading the results"), database.connect() as connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            return _Reader(connection, now, basis_sessions).facts(as_of)


def newest_date(database: Database) -> dt.date | None:
    """Return the newest as-of date with results, None where there is none."""
    with translated_errors("reading the results"), database.connect() as connection:
        dates = connection.execute(queries.AS_OF_DATES).fetchall()
    return dates[-1][0] if dates else None


class _Reader:
    """Reads the parts of one page by one connection."""

    def __init__(self, connection: psycopg.Connection, now: dt.datetime, basis_sessions: int) -> None:
        self._connection = connection
        self._now = now
        self._basis = basis_sessions
        self._values: dict[str, Any] = {}

    def facts(self, named: dt.date | None) -> Facts:
        dates: list[dt.date] = [date for (date,) in self._pairs(queries.AS_OF_DATES)]
        as_of = _served(dates, named)
        year = market_calendar.sessions_ending(as_of, _YEAR_SESSIONS)
        self._values = {"as_of": as_of, "first": year[0], "recent": year[-_RECENT_SESSIONS:][0], "funds": list(FUNDS)}
        self._values |= {"since": self._now - dt.timedelta(days=_LOGGED_DAYS), "limit": _LOGGED_SHOWN}
        portfolio_run = next(iter(self._rows(PortfolioRun, queries.PORTFOLIO_RUN)), None)
        self._values["basis"] = basis = (portfolio_run and portfolio_run.basis_sessions) or self._basis
        turnovers = self._rows(Turnover, queries.TURNOVER)
        self._values["previous"] = turnovers[0].previous_date if turnovers else None
        self._values["compared"] = compared = self._value(queries.COMPARED)
        trends = self._rows(Trend, queries.TRENDS)
        last = market_calendar.last_completed_session(self._now)
        return Facts(
            as_of=as_of,
            made_at=self._now,
            origin=self._value(queries.ORIGIN),
            newest=dates[-1],
            last_completed=last,
            sessions_behind=len(market_calendar.sessions_between(as_of, last)) - 1,
            basis_sessions=basis,
            sectors=_sectors(trends, basis),
            benchmark_returns={trend.period_days: trend.benchmark_return_pct for trend in trends},
            compared=compared,
            turned=dict(self._pairs(queries.TURNED)),
            portfolio=turnovers[0] if turnovers else None,
            portfolio_run=portfolio_run,
            positions=self._rows(Position, queries.POSITIONS),
            departures=self._rows(Departure, queries.DEPARTURES),
            exclusions=self._rows(Exclusion, queries.EXCLUSIONS),
            sessions=year,
            prices=self._rows(Price, queries.PRICES),
            datasets=self._datasets(),
            runs=sorted(self._rows(RunRow, queries.RUNS), key=lambda run: run.started_at, reverse=True),
            rejected=self._rows(Rejected, queries.REJECTED),
            rejected_count=self._value(queries.REJECTED_COUNT),
            restatements=self._rows(Restatement, queries.RESTATEMENTS),
            restated_count=self._value(queries.RESTATED_COUNT),
            fetches=self._rows(Fetches, queries.FETCHES),
            origins=self._rows(Origin, queries.ORIGINS),
            funds_with_holdings=[fund for (fund,) in self._pairs(queries.FUNDS_WITH_HOLDINGS)],
            look_ahead_snapshots=dict(self._pairs(queries.LOOK_AHEAD_SNAPSHOTS)),
        )

    def _datasets(self) -> list[Dataset]:
        funds = self._of_funds("collected_daily_etf_ohlc", FUNDS)
        benchmarks = self._of_funds("collected_daily_benchmark_ohlc", BENCHMARKS)
        holdings = self._dict(queries.HOLDINGS, tickers=list(FUNDS))
        stocks, trends = self._dict(queries.STOCK_PRICES), self._dict(queries.TREND_ROWS)
        recent = f"stocks with prices in the last {_RECENT_SESSIONS} sessions"
        return [
            Dataset("Fund prices", "collected_daily_etf_ohlc", "funds", expected=len(FUNDS), **funds),
            Dataset("Benchmark prices", "collected_daily_benchmark_ohlc", "benchmarks", expected=2, **benchmarks),
            Dataset("Fund holdings", "collected_meta_etf", "funds", expected=len(FUNDS), **holdings),
            Dataset("Stock prices", "collected_daily_stock_history", recent, **stocks),
            Dataset("Sector trends", "analytics_trending_sectors", "returns of sectors", **trends),
        ]

    def _of_funds(self, table: str, tickers: Sequence[str]) -> dict[str, Any]:
        query = sql.SQL(queries.FUND_PRICES).format(table=sql.Identifier(table))
        return self._dict(query, tickers=list(tickers))

    def _rows(self, kind: type[_Row], query: LiteralString) -> list[_Row]:
        with self._connection.cursor(row_factory=class_row(kind)) as cursor:
            return cursor.execute(query, self._values).fetchall()

    def _pairs(self, query: LiteralString) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, self._values).fetchall()

    def _value(self, query: LiteralString) -> Any:
        row = self._connection.execute(query, self._values).fetchone()
        return None if row is None else row[0]

    def _dict(self, query: LiteralString | sql.Composed, **values: object) -> dict[str, Any]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            ((found),) = cursor.execute(query, self._values | values).fetchall()
            return found


def _served(dates: Sequence[dt.date], named: dt.date | None) -> dt.date:
    """The date of the page: the named one, else the newest."""
    if not dates:
        raise no_results()
    if named is not None and named not in dates:
        near = sorted(dates, key=lambda date: abs(date - named))[:3]
        raise UsageError(f"there are no results of {named}: the nearest are of {', '.join(map(str, sorted(near)))}")
    return named or dates[-1]


def _sectors(trends: Sequence[Trend], basis: int) -> list[Sector]:
    """The sectors, by their return over the basis period, those without one last."""
    by_fund: dict[str, dict[int, Trend]] = {}
    for trend in trends:
        by_fund.setdefault(trend.etf_ticker, {})[trend.period_days] = trend
    sectors = [Sector(fund, next(iter(found.values())).sector_name, found) for fund, found in by_fund.items()]

    def place(sector: Sector) -> tuple[bool, int, str]:
        trend = sector.trends.get(basis)
        rank = None if trend is None else trend.rank
        return rank is None, rank or 0, sector.etf_ticker

    return sorted(sectors, key=place)
