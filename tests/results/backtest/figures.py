"""The figures of the page of a backtest, by SQL on its tables that knows nothing of the page's code."""

from __future__ import annotations

import psycopg
from psycopg import sql

from spark_app.backtest.output.rows import Tables as Found
from spark_app.backtest.output.rows import served_rows
from spark_app.schemas import BACKTEST_TABLES
from tests.results.page.figures import Tables

_ORDER = "array_position(ARRAY['strategy', 'equal_weight', 'benchmark'], series)"


def fixed(value: str, digits: int = 2) -> str:
    """SQL that writes a number as the page does: a minus but no plus, n/a for none."""
    text = f"replace(to_char(round({value}, {digits}), 'FM999990.{'0' * digits}'), '-', '−')"
    return f"coalesce({text}, 'n/a')"


STATISTICS = f"""
SELECT {fixed("final_value", 4)}, {fixed("cagr_pct")}, {fixed("volatility_pct")}, {fixed("sharpe_ratio")},
       {fixed("sortino_ratio")}, {fixed("max_drawdown_pct")}, {fixed("beta")}, {fixed("alpha_pct")},
       {fixed("information_ratio")}, {fixed("yearly_turnover")}
FROM analytics_backtest_summary ORDER BY {_ORDER}
"""
FURTHER = f"""
SELECT {fixed("value_at_risk_pct")}, {fixed("conditional_value_at_risk_pct")}, {fixed("hit_rate_pct")},
       to_char(peak_date, 'FMDD Mon YYYY'), to_char(trough_date, 'FMDD Mon YYYY'),
       coalesce(to_char(recovery_date, 'FMDD Mon YYYY'), 'not yet')
FROM analytics_backtest_summary ORDER BY {_ORDER}
"""
GROSS_AND_NET = f"""
SELECT {fixed("gross_cagr_pct")}, {fixed("cagr_pct")} FROM analytics_backtest_summary ORDER BY {_ORDER}
"""
_MONTHS = f"""
WITH months AS (
    SELECT series, max(trade_date) OVER month AS session, trade_date, portfolio_value,
           min(drawdown_pct) OVER month AS deepest
    FROM analytics_backtest_equity WINDOW month AS (PARTITION BY series, date_trunc('month', trade_date))
)
SELECT session::text, array_agg({{figure}} ORDER BY {_ORDER}) FROM months
WHERE trade_date = session GROUP BY session ORDER BY session DESC
"""
VALUES = _MONTHS.format(figure=fixed("portfolio_value", 4))
DRAWDOWNS = _MONTHS.format(figure=fixed("deepest"))
YEARS = f"""
WITH ends AS (
    SELECT DISTINCT ON (series, date_part('year', trade_date)) series, date_part('year', trade_date) AS year,
           portfolio_value
    FROM analytics_backtest_equity ORDER BY series, date_part('year', trade_date), trade_date DESC
), returns AS (
    SELECT series, year, (portfolio_value / lag(portfolio_value) OVER (PARTITION BY series ORDER BY year) - 1) * 100
           AS percent
    FROM ends
)
SELECT year::text, array_agg({fixed("percent")} ORDER BY {_ORDER}) FROM returns
WHERE percent IS NOT NULL GROUP BY year ORDER BY year
"""
TURNOVER = f"""
SELECT count(*)::text, {fixed("avg(turnover) * 100")}, {fixed("max(turnover) * 100")}, {fixed("sum(cost_pct)")}
FROM analytics_backtest_rebalance GROUP BY series ORDER BY {_ORDER}
"""


def store(connection: psycopg.Connection, found: Found) -> None:
    """Put the rows of a backtest into its tables."""
    for table in BACKTEST_TABLES:
        names = [field.name for field in table.computed_schema.fields]
        statement = sql.SQL("INSERT INTO {} ({}, run_id) VALUES ({}, 'run-1')").format(
            sql.Identifier(table.name),
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join([sql.Placeholder()] * len(names)),
        )
        with connection.cursor() as cursor:
            cursor.executemany(statement, list(served_rows(table, found[table.name])))


def differences(tables: Tables, connection: psycopg.Connection) -> list[str]:
    """Compare the tables of a page, which begins on the last session of a year and costs 10 bp, with SQL."""

    def by_sql(query: str) -> list[list[str]]:
        return [list(row) for row in connection.execute(query.encode()).fetchall()]

    def by_date(query: str) -> list[list[str]]:
        return [[date, *figures] for date, figures in by_sql(query)]

    turnover = [[row[1], row[2], row[3], row[5]] for row in tables["turnover-table"]]
    pairs = {
        "statistics": ([row[1:] for row in tables["statistics-table"]], by_sql(STATISTICS)),
        "further": ([row[1:] for row in tables["further-table"]], by_sql(FURTHER)),
        "costs": ([[row[1], row[3]] for row in tables["costs-table"]], by_sql(GROSS_AND_NET)),
        "values": (tables["equity-table"], by_date(VALUES)),
        "drawdowns": (tables["drawdown-table"], by_date(DRAWDOWNS)),
        "years": ([row[:4] for row in tables["years-table"]], by_date(YEARS)),
        "turnover": (turnover, by_sql(TURNOVER)),
    }
    return [
        f"{name}: {shown[:3]} is not {known[:3]}"
        for name, (shown, known) in pairs.items()
        if not known or shown != known
    ]
