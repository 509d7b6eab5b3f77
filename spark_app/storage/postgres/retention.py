"""Removal of served rows past their retention: all SQL of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import LiteralString

from psycopg import sql

from spark_app.schemas import (
    BACKTEST_RUN,
    BENCHMARK_OHLC,
    ETF_HOLDINGS,
    ETF_OHLC,
    PORTFOLIO_ALLOCATION,
    PORTFOLIO_EXCLUSION,
    STOCK_HISTORY,
    TRENDING_SECTORS,
)
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.retry import retried

_OLD_SNAPSHOTS = """EXISTS (
    SELECT FROM unnest(%(funds)s::text[], %(kept_from)s::date[]) AS kept (fund, first)
    WHERE etf_ticker = fund AND as_of_date < first
)"""
# Stays: what a scheduled run and a recovery read, and the last good run of each stage and date.
_OLD_RUNS = """started_at < %(before)s AND status <> 'running'
AND (staged_at IS NOT NULL OR started_at < now() - interval '30 days')
AND NOT (status = 'ok' AND NOT EXISTS (
    SELECT FROM logs_pipeline_run AS later WHERE later.stage = old.stage AND later.as_of_date = old.as_of_date
    AND later.status = 'ok' AND later.started_at > old.started_at
))"""
_NOT_REBUILDABLE = """
SELECT count(DISTINCT as_of_date), min(as_of_date), max(as_of_date) FROM (
    SELECT as_of_date FROM analytics_trending_sectors UNION ALL SELECT as_of_date FROM analytics_portfolio_allocation
) AS analytics WHERE as_of_date < %s
"""


@dataclass(frozen=True)
class OldRows:
    """Rows of one served table past their retention; `date` is the column with their age."""

    table: str
    reason: str
    date: str
    condition: LiteralString
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """Number of rows to remove from one table, or removed, with their oldest and newest date."""

    table: str
    reason: str
    rows: int
    oldest: dt.date | None
    newest: dt.date | None


def old_prices(first: dt.date) -> list[OldRows]:
    """Return the price rows of sessions before `first`."""
    tables = (ETF_OHLC.name, BENCHMARK_OHLC.name, STOCK_HISTORY.name)
    return [OldRows(t, "price history", "trade_date", "trade_date < %(first)s", {"first": first}) for t in tables]


def old_holdings(kept_from: Mapping[str, dt.date]) -> list[OldRows]:
    """Return the snapshots of holdings before the first one to keep of each fund."""
    given = {"funds": list(kept_from), "kept_from": list(kept_from.values())}
    return [OldRows(ETF_HOLDINGS.name, "price history", "as_of_date", _OLD_SNAPSHOTS, given)]


def old_errors(before: dt.datetime) -> list[OldRows]:
    """Return the rows of `logs_consumer_error` before a moment."""
    condition: LiteralString = "received_at < %(before)s"
    return [OldRows("logs_consumer_error", "consumer errors", "received_at", condition, {"before": before})]


def old_runs(before: dt.datetime) -> list[OldRows]:
    """Return the runs that started before a moment, except the last good one of each stage and date."""
    return [OldRows("logs_pipeline_run", "run log", "started_at", _OLD_RUNS, {"before": before})]


def old_analytics(first: dt.date) -> list[OldRows]:
    """Return the analytics of as-of dates before `first`, and the backtests that were computed before it.

    What belongs to a backtest goes with its row.
    """
    tables = (TRENDING_SECTORS.name, PORTFOLIO_ALLOCATION.name, PORTFOLIO_EXCLUSION.name)
    old = [OldRows(t, "analytics", "as_of_date", "as_of_date < %(first)s", {"first": first}) for t in tables]
    return [
        *old,
        OldRows(BACKTEST_RUN.name, "analytics", "computed_date", "computed_date < %(first)s", {"first": first}),
    ]


@retried
def measure(database: Database, old: OldRows) -> Cut:
    """Count the rows that would be removed."""
    query = sql.SQL("SELECT count(*), min({date}::date), max({date}::date) FROM {table} AS old WHERE {old}").format(
        date=sql.Identifier(old.date), table=sql.Identifier(old.table), old=sql.SQL(old.condition)
    )
    with translated_errors(f"looking for old rows of {old.table}"), database.connect() as connection:
        rows, oldest, newest = connection.execute(query, old.parameters).fetchall()[0]
    return Cut(old.table, old.reason, rows, oldest, newest)


@retried
def remove(database: Database, old: OldRows) -> None:
    """Remove the rows in one transaction, then vacuum the table.

    Raises: SparkAppError: the role lacks the right. ServiceUnavailableError.
    """
    table = sql.Identifier(old.table)
    statement = sql.SQL("DELETE FROM {} AS old WHERE {}").format(table, sql.SQL(old.condition))
    with translated_errors(f"removing old rows of {old.table}"), database.connect() as connection:
        connection.execute(statement, old.parameters)
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(table))


@retried
def not_rebuildable(database: Database, first: dt.date) -> Sequence[object]:
    """Return the number of as-of dates of analytics before `first`, the first of them and the last."""
    with translated_errors("reading the analytics"), database.connect() as connection:
        return connection.execute(_NOT_REBUILDABLE, (first,)).fetchall()[0]
