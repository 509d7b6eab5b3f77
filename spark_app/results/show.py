"""The latest results as text: which sectors trend, and the portfolio."""

from __future__ import annotations

import psycopg

from spark_app.config.installation import LAUNCHER
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.migrate import migrate
from spark_app.storage.postgres.retry import retried
from spark_app.text_table import draw_table

_TRENDS = """
SELECT sector_name, etf_ticker,
       max(return_pct) FILTER (WHERE period_days = 5), bool_or(is_trending) FILTER (WHERE period_days = 5),
       max(return_pct) FILTER (WHERE period_days = 10), bool_or(is_trending) FILTER (WHERE period_days = 10),
       max(return_pct) FILTER (WHERE period_days = 20), bool_or(is_trending) FILTER (WHERE period_days = 20)
FROM analytics_trending_sectors WHERE as_of_date = %s
GROUP BY sector_name, etf_ticker ORDER BY 7 DESC NULLS LAST, etf_ticker
"""
_BENCHMARK = """
SELECT 'SPY', '',
       max(benchmark_return_pct) FILTER (WHERE period_days = 5), false,
       max(benchmark_return_pct) FILTER (WHERE period_days = 10), false,
       max(benchmark_return_pct) FILTER (WHERE period_days = 20), false
FROM analytics_trending_sectors WHERE as_of_date = %s
"""
_PORTFOLIO = """
SELECT ticker, company_name, sector, portfolio_weight, return_20d, market_cap
FROM analytics_portfolio_allocation WHERE as_of_date = %s ORDER BY portfolio_weight DESC, ticker
"""
_ALLOCATED = """
SELECT coalesce((parameters ->> 'basis_sessions')::integer, 20) FROM logs_pipeline_run
WHERE stage = 'stage5_portfolio_allocation' AND as_of_date = %s AND status = 'ok'
ORDER BY finished_at DESC LIMIT 1
"""
_EXCLUDED = """
SELECT reason, count(*) FROM analytics_portfolio_exclusion WHERE as_of_date = %s GROUP BY reason ORDER BY 2 DESC, 1
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


@retried
def render_results(database: Database) -> str:
    """Draw the trends and the portfolio of the newest as-of date, and the number of rows of each table."""
    migrate(database)
    with translated_errors("reading the results"), database.connect() as connection:
        row = connection.execute("SELECT max(as_of_date) FROM analytics_trending_sectors").fetchone()
        if row is None or row[0] is None:
            return f"There are no results yet: run {LAUNCHER} daily_pipeline"
        as_of = row[0]
        parts = [
            _origin(connection),
            f"Sector returns up to {as_of} in percent (* = trending: above SPY and above 0)",
            _draw_trends(connection, as_of),
            f"Portfolio of {as_of}",
            _draw_portfolio(connection, as_of),
            "Tables",
            draw_table(("table", "rows"), [(t, f"{_count(connection, t):,}") for t in _TABLES], right={1}),
        ]
    return "\n\n".join(part for part in parts if part)


def _origin(connection: psycopg.Connection) -> str:
    row = connection.execute("SELECT origin FROM logs_data_origin").fetchone()
    return "SYNTHETIC DATA: made up, for trying things out" if row is not None and row[0] == "synthetic" else ""


def _draw_trends(connection: psycopg.Connection, as_of: object) -> str:
    rows = connection.execute(_BENCHMARK, (as_of,)).fetchall() + connection.execute(_TRENDS, (as_of,)).fetchall()
    drawn = [
        (
            sector,
            etf,
            *(_percent(r) + (" *" if trends else "  ") for r, trends in zip(rest[::2], rest[1::2], strict=True)),
        )
        for sector, etf, *rest in rows
    ]
    return draw_table(("sector", "fund", "5 sessions", "10 sessions", "20 sessions"), drawn, right={2, 3, 4})


def _draw_portfolio(connection: psycopg.Connection, as_of: object) -> str:
    rows = connection.execute(_PORTFOLIO, (as_of,)).fetchall()
    if not rows:
        return _why_no_position(connection, as_of)
    drawn = [
        (ticker, name or "", sector, f"{weight * 100:.2f} %", _percent(change), f"{cap / 1e9:,.1f}")
        for ticker, name, sector, weight, change, cap in rows
    ]
    header = ("ticker", "company", "sector", "weight", "20 sessions", "market cap, $bn")
    return draw_table(header, drawn, right={3, 4, 5})


def _why_no_position(connection: psycopg.Connection, as_of: object) -> str:
    allocated = connection.execute(_ALLOCATED, (as_of,)).fetchone()
    if allocated is None:
        return "Not computed yet."
    excluded = connection.execute(_EXCLUDED, (as_of,)).fetchall()
    if not excluded:
        return f"No position: no sector trends over {allocated[0]} sessions."
    reasons = ", ".join(f"{number} {reason}" for reason, number in excluded)
    return f"No position: every stock of the trending sectors is excluded ({reasons})."


def _percent(value: object) -> str:
    return "n/a" if value is None else f"{value:+.2f}"


def _count(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute(
        psycopg.sql.SQL("SELECT count(*) FROM {}").format(psycopg.sql.Identifier(table))
    ).fetchone()
    return int(row[0]) if row is not None else 0
