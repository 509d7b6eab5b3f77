"""Rows of served tables and of the run log, put in by SQL."""

from __future__ import annotations

import datetime as dt

from psycopg import sql

from spark_app.storage.postgres.database import Database

FRIDAY = dt.date(2026, 11, 20)
STAGES = (
    "stage1_etf_ohlc",
    "stage2_etf_holdings",
    "stage3_trending_sectors",
    "stage4_stock_history",
    "stage5_portfolio_allocation",
)
PARAMETERS = {
    "stage1_etf_ohlc": '{"days": 21}',
    "stage2_etf_holdings": '{"holdings_provider": "yahoo"}',
    "stage3_trending_sectors": "{}",
    "stage4_stock_history": '{"days": 21, "universe": "trending"}',
    "stage5_portfolio_allocation": '{"basis_sessions": 20, "top_n_per_sector": 5, "max_weight": null}',
}
_SOME_PRICES = dict.fromkeys(("open_price", "high_price", "low_price", "close_price", "adj_close_price"), 100)


def add(database: Database, table: str, **values: object) -> None:
    """Insert one row."""
    with database.connect() as connection:
        connection.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() for _ in values),
            ),
            list(values.values()),
        )


def add_bar(database: Database, table: str, ticker: str, day: dt.date, **values: object) -> None:
    """Insert a bar of 100 dollars, or of what `values` say."""
    known = {"volume": 1, "dividend": 0, "split_ratio": 1, "fetched_at": after_close(day), "run_id": "run"}
    add(database, table, ticker=ticker, trade_date=day, **{**_SOME_PRICES, **known, **values})


def add_run(database: Database, stage: str, session: dt.date, status: str = "ok", **values: object) -> None:
    """Insert a run of a minute that began an hour after 21:00 UTC of its session, by the order of the stages."""
    started = after_close(session) + dt.timedelta(hours=1, minutes=2 * STAGES.index(stage))
    known = {"run_id": f"run of {session}", "parameters": PARAMETERS[stage], "started_at": started}
    if status != "running":
        known["finished_at"] = started + dt.timedelta(minutes=1)
    add(database, "logs_pipeline_run", **{**known, "stage": stage, "as_of_date": session, "status": status, **values})


def after_close(day: dt.date) -> dt.datetime:
    """The close of a session in winter."""
    return dt.datetime.combine(day, dt.time(21), dt.UTC)


def serve(database: Database, session: dt.date) -> None:
    """Insert what the five stages leave behind for a session: a row in each table, and their runs."""
    add(database, "logs_data_origin", origin="real")
    add_bar(database, "collected_daily_etf_ohlc", "XLK", session)
    add_bar(database, "collected_daily_benchmark_ohlc", "SPY", session)
    add_bar(database, "collected_daily_stock_history", "AAPL", session)
    fund = {"etf_ticker": "XLK", "fetched_at": after_close(session), "run_id": "run"}
    add(
        database,
        "collected_meta_etf",
        **{**fund, "holding_ticker": "AAPL", "as_of_date": session, "etf_type": "sector", "holding_percent": 10},
        holding_rank=1,
        coverage_percent=10,
        source="yahoo",
    )
    sector = {"as_of_date": session, "run_id": "run", "is_trending": True, "return_pct": 2, "rank": 1}
    add(
        database,
        "analytics_trending_sectors",
        **{**sector, "etf_ticker": "XLK", "period_days": 20, "sector_name": "Information Technology"},
        benchmark_return_pct=1,
    )
    stock = {"as_of_date": session, "sector": "Information Technology", "run_id": "run"}
    add(
        database,
        "analytics_portfolio_allocation",
        **{**stock, "ticker": "AAPL", "market_cap": 1, "market_cap_basis": "quoted", "portfolio_weight": 1},
        **{f"is_trending_{n}d": True for n in (5, 10, 20)},
        allocation_reason="as tested",
    )
    add(database, "analytics_portfolio_exclusion", **stock, ticker="MSFT", reason="not_trending", detail="as tested")
    for stage in STAGES:
        add_run(database, stage, session)
