"""Removal of served rows past their retention: all SQL of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import LiteralString, NamedTuple

from psycopg import sql

from spark_app.config.settings import DatabaseSettings, RetentionSettings, Settings
from spark_app.errors import SettingsError
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
from spark_app.storage.postgres.database import Database, administrator_of, open_database, translated_errors
from spark_app.storage.postgres.retry import RetryPolicy, retried

_PRICES = (ETF_OHLC.name, BENCHMARK_OHLC.name, STOCK_HISTORY.name)
_ANALYTICS = (TRENDING_SECTORS.name, PORTFOLIO_ALLOCATION.name, PORTFOLIO_EXCLUSION.name)
_ERRORS, _RUNS = "logs_consumer_error", "logs_pipeline_run"
_RESTATEMENTS, _FETCHES = "logs_price_restatement", "logs_fetch"

_ROLE = "spark_app_retention"

_OLD_SNAPSHOTS = """EXISTS (
    SELECT FROM unnest(%(funds)s::text[], %(kept_from)s::date[]) AS kept (fund, first)
    WHERE etf_ticker = fund AND as_of_date < first
)"""
# Stays: what a scheduled run and a recovery read, the last good run of each stage, date and parameters (of a staggered
# backfill they name the fund), the runs that served rows name, and that of each portfolio.
_OLD_RUNS = """started_at < %(before)s AND status <> 'running'
AND (staged_at IS NOT NULL OR started_at < now() - interval '30 days')
AND NOT (status = 'ok' AND NOT EXISTS (
    SELECT FROM logs_pipeline_run AS later WHERE later.stage = old.stage AND later.as_of_date = old.as_of_date
    AND later.parameters = old.parameters AND later.status = 'ok' AND later.started_at > old.started_at
)) AND NOT EXISTS (
    SELECT FROM (
        SELECT run_id FROM collected_daily_etf_ohlc
        UNION ALL SELECT run_id FROM collected_daily_benchmark_ohlc
        UNION ALL SELECT run_id FROM collected_meta_etf
        UNION ALL SELECT run_id FROM collected_daily_stock_history
        UNION ALL SELECT run_id FROM analytics_trending_sectors
        UNION ALL SELECT run_id FROM analytics_portfolio_allocation
        UNION ALL SELECT run_id FROM analytics_portfolio_exclusion
        UNION ALL SELECT run_id FROM analytics_backtest_run
        UNION ALL SELECT run_id FROM analytics_backtest_summary
        UNION ALL SELECT run_id FROM analytics_backtest_equity
        UNION ALL SELECT run_id FROM analytics_backtest_rebalance
        UNION ALL SELECT run_id FROM analytics_backtest_position
        UNION ALL SELECT run_id FROM analytics_backtest_ledger
    ) AS served WHERE served.run_id = old.run_id
)
AND NOT EXISTS (
    SELECT FROM portfolio_runs() AS deciding WHERE deciding.run_id = old.run_id AND deciding.stage = old.stage
)"""
# A role that does not exist yet has the rights of nobody. The owner of one of our tables owns them all.
_RIGHTS = """
SELECT name, has_table_privilege(pg_class.oid, 'DELETE'),
       CASE WHEN to_regrole(%(role)s) IS NOT NULL
       THEN has_table_privilege(to_regrole(%(role)s)::oid, pg_class.oid, 'DELETE') ELSE false END,
       current_user::text, pg_get_userbyid(relowner)::text
FROM unnest(%(tables)s::text[]) WITH ORDINALITY AS asked (name, place)
JOIN pg_class ON pg_class.oid = to_regclass('public.' || name) ORDER BY place
"""
_UNUSED_FETCHES = """fetched_at < %(before)s AND NOT EXISTS (
    SELECT FROM (
        SELECT 'chart' AS kind, ticker, fetched_at FROM collected_daily_etf_ohlc
        UNION ALL SELECT 'chart', ticker, fetched_at FROM collected_daily_benchmark_ohlc
        UNION ALL SELECT 'chart', ticker, fetched_at FROM collected_daily_stock_history
        UNION ALL SELECT 'holdings', etf_ticker, fetched_at FROM collected_meta_etf
    ) AS served WHERE served.kind = old.kind AND served.ticker = old.ticker AND served.fetched_at = old.fetched_at
) AND NOT EXISTS (
    SELECT FROM analytics_portfolio_allocation AS position
    WHERE old.kind = 'quote' AND position.ticker = old.ticker AND position.quote_date = old.first_date
)"""
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


def require_rights(settings: Settings, named: DatabaseSettings) -> None:
    """Make sure that rows may be removed from all tables that the settings do not keep for ever.

    Raises: SettingsError: the user lacks the right. ServiceUnavailableError.
    """
    # The embedded server has one user, its owner.
    if named.url is None:
        return
    with open_database(named, RetryPolicy(**settings.database.model_dump())) as database:
        rights = _rights(administrator_of(named, database), _expiring(settings.retention))
    missing = [right for right in rights if not right.is_granted]
    if missing:
        suffices = all(right.is_granted_to_role for right in rights)
        raise SettingsError(
            f"user {missing[0].user} may not remove rows of {', '.join(right.table for right in missing)}:"
            f" name a member of {_ROLE if suffices else missing[0].owner} in DATABASE_ADMIN_URL (WORKFLOW.md, Roles)"
        )


class _Right(NamedTuple):
    """Whether the user, and the role for retention, may remove rows of a table."""

    table: str
    is_granted: bool
    is_granted_to_role: bool
    user: str
    owner: str


@retried
def _rights(database: Database, tables: Sequence[str]) -> list[_Right]:
    """The rights on those of the tables that exist already."""
    asked = {"tables": list(tables), "role": _ROLE}
    with translated_errors("reading the rights"), database.connect() as connection:
        return [_Right(*row) for row in connection.execute(_RIGHTS, asked)]


def _expiring(keep: RetentionSettings) -> list[str]:
    kept_days = {
        (*_PRICES, ETF_HOLDINGS.name): keep.price_history_days,
        (*_ANALYTICS, BACKTEST_RUN.name): keep.analytics_days,
        (_ERRORS,): keep.consumer_errors_days,
        (_RUNS, _RESTATEMENTS, _FETCHES): keep.run_log_days,
    }
    return [table for tables, days in kept_days.items() if days is not None for table in tables]


def old_prices(first: dt.date) -> list[OldRows]:
    """Return the price rows of sessions before `first`."""
    return [OldRows(t, "price history", "trade_date", "trade_date < %(first)s", {"first": first}) for t in _PRICES]


def old_holdings(kept_from: Mapping[str, dt.date]) -> list[OldRows]:
    """Return the snapshots of holdings before the first one to keep of each fund."""
    given = {"funds": list(kept_from), "kept_from": list(kept_from.values())}
    return [OldRows(ETF_HOLDINGS.name, "price history", "as_of_date", _OLD_SNAPSHOTS, given)]


def old_errors(before: dt.datetime) -> list[OldRows]:
    """Return the rows of `logs_consumer_error` before a moment."""
    condition: LiteralString = "received_at < %(before)s"
    return [OldRows(_ERRORS, "consumer errors", "received_at", condition, {"before": before})]


def old_runs(before: dt.datetime) -> list[OldRows]:
    """Return the runs that started before a moment, except those of served rows, and the last good ones.

    A last good run is that of a stage, a date and parameters. With them, restatements and fetches from before that
    moment, except the fetches that brought served rows.
    """
    given = {"before": before}
    return [
        OldRows(_RUNS, "run log", "started_at", _OLD_RUNS, given),
        OldRows(_RESTATEMENTS, "run log", "noticed_at", "noticed_at < %(before)s", given),
        OldRows(_FETCHES, "run log", "fetched_at", _UNUSED_FETCHES, given),
    ]


def old_analytics(first: dt.date) -> list[OldRows]:
    """Return the analytics of as-of dates before `first`, and the backtests that were computed before it.

    What belongs to a backtest goes with its row.
    """
    given = {"first": first}
    by_date = [OldRows(t, "analytics", "as_of_date", "as_of_date < %(first)s", given) for t in _ANALYTICS]
    return [*by_date, OldRows(BACKTEST_RUN.name, "analytics", "computed_date", "computed_date < %(first)s", given)]


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
