"""What a page may have to show."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial

import psycopg

from tests.results.page.world import (
    DAY,
    HOSTILE_NAMES,
    add_exclusions,
    add_logs,
    add_origin,
    add_prices,
    add_run,
    add_trends,
    fill,
)


def _nobody_trends(connection: psycopg.Connection) -> None:
    add_origin(connection, "real")
    add_prices(connection)
    add_trends(connection, DAY, benchmark="20")
    add_run(connection, "stage5_portfolio_allocation", DAY)


def _missing(connection: psycopg.Connection) -> None:
    """Few sessions, a return that is not known, no portfolio, and a run that failed."""
    add_origin(connection, "real")
    add_prices(connection, sessions=30)
    connection.execute("DELETE FROM collected_daily_etf_ohlc WHERE ticker = 'XLK' AND trade_date > '2024-04-20'")
    add_trends(connection, DAY)
    connection.execute(
        "UPDATE analytics_trending_sectors SET return_pct = NULL, rank = NULL, is_trending = false,"
        " unavailable_reason = 'no bar on 2024-05-10' WHERE etf_ticker = 'XLK'"
    )
    add_run(connection, "stage4_stock_history", DAY + dt.timedelta(days=1), status="failed", message="<b>it failed</b>")
    add_logs(connection)
    add_exclusions(connection, DAY, 60)


SCENES: dict[str, Callable[[psycopg.Connection], None]] = {
    "one": partial(fill, size=1),
    "twelve": partial(fill, size=12),
    "sixty": partial(fill, size=60, origin="real"),
    "hostile": partial(fill, size=12, names=HOSTILE_NAMES),
    "nobody": _nobody_trends,
    "missing": _missing,
}
