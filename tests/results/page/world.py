"""Served tables as the page finds them, written by SQL: a year of prices, trends, a portfolio of any size, runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

from spark_app import market_calendar
from spark_app.results.page.reading import read_facts
from spark_app.results.page.rendering import render_page
from spark_app.storage.postgres.database import Database
from spark_app.universe import FUNDS, SECTOR_NAMES

DAY, DAY_BEFORE = dt.date(2024, 5, 10), dt.date(2024, 5, 9)
MADE_AT = dt.datetime(2024, 5, 11, 6, 30, tzinfo=dt.UTC)
HOSTILE_NAMES = (
    "<script>document.title = 'taken'</script>",
    '" onmouseover="document.title=\'taken\'" x="',
    "</style></table><img src=http://outside.example/x onerror=alert(1)>",
    "{{ 7 * 7 }} {% raw %} &amp; &lt;b&gt;",
    "شركة النفط \u202e reversed \u2066 isolated",
    "W" * 3000,
    "a name\x01with\x1b[31m control\x7f characters",
)
_PRICES = """
INSERT INTO collected_daily_etf_ohlc
SELECT ticker, session, price, price, price, price, price, 1000, 0, 1, NULL, %(fetched_at)s, 'run-1'
FROM unnest(%(funds)s::text[]) WITH ORDINALITY AS fund (ticker, k),
     unnest(%(sessions)s::date[]) WITH ORDINALITY AS calendar (session, n),
     LATERAL (SELECT round((80 + n * 0.02 * (k %% 4) + 6 * sin(n / (9.0 + k)) + 3 * cos(n * k / 40.0))::numeric, 6)
              AS price) AS made
"""
_BENCHMARKS = """
INSERT INTO collected_daily_benchmark_ohlc
SELECT 'QQQ', trade_date, open_price, high_price, low_price, close_price, adj_close_price, volume, dividend,
       split_ratio, price_change_percent, fetched_at, run_id
FROM collected_daily_etf_ohlc WHERE ticker = 'SPY'
UNION ALL SELECT * FROM collected_daily_etf_ohlc WHERE ticker = 'SPY'
"""
# Returns are n * 1.234567 - 5 for the n-th fund, so some are below the benchmark's and some below 0.
_TRENDS = """
INSERT INTO analytics_trending_sectors
SELECT %(day)s, ticker, period, name, value, %(benchmark)s::numeric, value > greatest(0, %(benchmark)s::numeric),
       row_number() OVER (PARTITION BY period ORDER BY value DESC), NULL, 'run-1'
FROM unnest(%(funds)s::text[], %(names)s::text[]) WITH ORDINALITY AS fund (ticker, name, n),
     unnest(ARRAY[5, 10, 20]) AS period,
     LATERAL (SELECT round(n * 1.234567 - 5 - %(lower)s::numeric + period * 0.015, 6) AS value) AS made
"""
_POSITION = """
INSERT INTO analytics_portfolio_allocation (
    as_of_date, ticker, company_name, sector, market_cap, market_cap_basis,
    return_5d, sector_avg_5d, is_trending_5d, rank_5d, return_10d, sector_avg_10d, is_trending_10d, rank_10d,
    return_20d, sector_avg_20d, is_trending_20d, rank_20d,
    portfolio_weight, allocation_reason, run_id, holdings_date, quote_date, is_look_ahead)
VALUES (%s, %s, %s, %s, %s, 'quoted', 1.005, 0.5, true, 1, NULL, 2.25, false, NULL, %s, 1.115, true, 1,
        %s, %s, 'run-1', %s, %s, %s)
"""
_RUN = """
INSERT INTO logs_pipeline_run (run_id, stage, as_of_date, status, parameters, started_at, finished_at, exit_code,
    message, requests, rows_inserted, code_version, host, settings, inputs, restated_bars, outliers)
VALUES ('run-1', %s, %s, %s, '{"basis_sessions": 20}', %s, %s, 0, %s, 12, 3048, '0.3.0+abc1234', 'worker-1',
    '{"portfolio": {"basis_sessions": 20, "max_weight": null}}',
    '{"staging_versions": {"bars": 12, "quotes": 3}, "holdings_dates": {"XLK": "2024-05-09", "XLE": "2024-05-10"}}',
    21, 0)
"""


def add_prices(connection: psycopg.Connection, *, last: dt.date = DAY, sessions: int = 252) -> None:
    """Add prices of all funds on the sessions that end with `last`."""
    dates = market_calendar.sessions_ending(last, sessions)
    connection.execute(_PRICES, {"funds": list(FUNDS), "sessions": dates, "fetched_at": MADE_AT})
    connection.execute(_BENCHMARKS)


def add_trends(connection: psycopg.Connection, day: dt.date, *, benchmark: str = "1.5", lower: str = "0") -> None:
    """Add trends of a day, the returns lower than usual by `lower` percentage points."""
    funds = {"funds": list(SECTOR_NAMES), "names": list(SECTOR_NAMES.values())}
    connection.execute(_TRENDS, {"day": day, "benchmark": benchmark, "lower": lower, **funds})


def add_portfolio(
    connection: psycopg.Connection,
    day: dt.date,
    size: int,
    *,
    names: Sequence[str] = (),
    first: int = 1,
    look_ahead: int = 0,
) -> None:
    """Add positions T<first>.. whose weights fall and sum to 1; the last `look_ahead` ones use later facts."""
    parts = [size + 1 - place for place in range(size)]
    weights = [round(part / sum(parts), 8) for part in parts]
    weights[:1] = [round(1 - sum(weights[1:]), 8)] if size else []
    sectors = list(SECTOR_NAMES.values())
    for place, weight in enumerate(weights):
        is_later = place >= size - look_ahead
        name = names[place] if place < len(names) else f"Company {place + first} Incorporated"
        facts = (DAY + dt.timedelta(days=3) if is_later else DAY_BEFORE, DAY, is_later)
        ticker, cap = f"T{place + first:02d}", 10**9 * (place + 1) + 50_000_000
        reason = f"{sectors[place % 11]} trends over 20 sessions; {ticker} returned 4.445000 % against 1.115000 %"
        row = (day, ticker, name, sectors[place % 11], cap, "-4.445" if place % 2 else "4.445", weight, reason, *facts)
        connection.execute(_POSITION, row)
    add_run(connection, "stage5_portfolio_allocation", day)


def add_exclusions(connection: psycopg.Connection, day: dt.date, count: int) -> None:
    for number in range(count):
        reason = ("not_trending", "below_top_n", "missing_bars")[number % 3]
        connection.execute(
            "INSERT INTO analytics_portfolio_exclusion (as_of_date, ticker, sector, reason, detail, run_id)"
            " VALUES (%s, %s, 'Energy', %s, %s, 'run-1')",
            (day, f"X{number:03d}", reason, f"-3.518615 % over 20 sessions is <b>not</b> above, number {number}"),
        )


def add_run(
    connection: psycopg.Connection, stage: str, day: dt.date, *, status: str = "ok", message: str = "done"
) -> None:
    started = dt.datetime.combine(day, dt.time(21, 30), dt.UTC)
    connection.execute(_RUN, (stage, day, status, started, started + dt.timedelta(seconds=74), message))


def add_republish(connection: psycopg.Connection, *dates: dt.date, run_id: str = "run-2", **portfolio: object) -> None:
    """Add a run of `republish` that computed the portfolios of these dates, with these settings of the section."""
    values = (run_id, dates[-1], MADE_AT, MADE_AT, Jsonb({"portfolio": {"basis_sessions": 20} | portfolio}))
    connection.execute(
        "INSERT INTO logs_pipeline_run (run_id, stage, as_of_date, status, parameters, started_at, finished_at,"
        " settings, inputs) VALUES (%s, 'republish', %s, 'ok', '{\"days\": 21}', %s, %s, %s, %s)",
        (*values, Jsonb({"portfolio_dates": [str(date) for date in dates]})),
    )


def add_logs(connection: psycopg.Connection) -> None:
    """Add holdings, rejected data, restatements and fetches."""
    connection.execute(
        "INSERT INTO collected_meta_etf SELECT fund, 'T01', %s, 'sector', 'x', 'x', 10, 1, 40, 'yahoo', %s, 'run-1'"
        " FROM unnest(%s::text[]) AS fund",
        (DAY_BEFORE, MADE_AT, list(FUNDS)),
    )
    for number in range(15):
        connection.execute(
            "INSERT INTO logs_consumer_error (error_msg, received_at, stage, run_id)"
            " VALUES (%s, %s, 'stage4_stock_history', 'run-1')",
            (f"T{number:02d}: <i>price</i> is not positive", MADE_AT - dt.timedelta(hours=number)),
        )
    connection.execute(
        "INSERT INTO logs_price_restatement VALUES ('XLK', 'run-1', 'stage1_etf_ohlc', 'split', 0.5, 21, %s, %s, %s)",
        (dt.date(2024, 4, 1), dt.date(2024, 4, 30), MADE_AT),
    )
    connection.execute(
        "INSERT INTO logs_fetch (ticker, kind, fetched_at, run_id, source, outcome, requests)"
        " SELECT fund, 'chart', %s, 'run-1', 'yahoo', 'ok', 1 FROM unnest(%s::text[]) AS fund",
        (MADE_AT, list(FUNDS)),
    )


def add_origin(connection: psycopg.Connection, origin: str) -> None:
    connection.execute("INSERT INTO logs_data_origin (origin) VALUES (%s)", (origin,))


def fill(connection: psycopg.Connection, size: int, *, names: Sequence[str] = (), origin: str = "synthetic") -> None:
    """Fill the tables for a page without gaps: `size` positions, three of them new, three others gone."""
    add_origin(connection, origin)
    add_prices(connection)
    add_trends(connection, DAY_BEFORE, lower="3")
    add_trends(connection, DAY)
    for stage in ("stage1_etf_ohlc", "stage3_trending_sectors"):
        add_run(connection, stage, DAY)
    add_portfolio(connection, DAY_BEFORE, size)
    connection.execute("DELETE FROM logs_pipeline_run WHERE stage = 'stage5_portfolio_allocation'")
    add_portfolio(connection, DAY, size, first=4, names=names, look_ahead=min(size, 2))
    add_exclusions(connection, DAY, 2 * size)
    add_logs(connection)


def page_of(database: Database, as_of: dt.date | None = None, *, now: dt.datetime = MADE_AT) -> str:
    return render_page(read_facts(database, as_of, now=now, basis_sessions=20))


def write_page(database: Database, file: Path, as_of: dt.date | None = None) -> Path:
    file.write_text(page_of(database, as_of), encoding="utf-8")
    return file
