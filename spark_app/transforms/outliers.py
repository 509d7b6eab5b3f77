"""Jumps: changes from one session to the next that are too large to be believed, and may yet be true."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from spark_app.universe import PRICED_FUNDS


def with_jump(bars: DataFrame, sessions: DataFrame, *, stock_percent: float, fund_percent: float) -> DataFrame:
    """Add how far the adjusted close jumped against the session before, as one and the same fetch tells it.

    Splits and dividends are worked into adjusted closes: neither explains what is left. A bar whose previous session
    has none did not jump.

    Columns in: ticker, trade_date, adj_close_price, fetched_at; sound, unique per (ticker, trade_date, fetched_at).
    Columns out: those of `bars`, jump_percent (null where the change is no larger than the limit).

    Args:
        sessions: trade_date, session_number (dense, increasing).
        stock_percent, fund_percent: the largest change that is believed, up or down; a fund moves less than a stock.
    """
    by_session = Window.partitionBy("ticker", "fetched_at").orderBy("session_number")
    is_next_session = F.col("session_number") == F.lag("session_number").over(by_session) + 1
    change = F.when(is_next_session, (F.col("adj_close_price") / F.lag("adj_close_price").over(by_session) - 1) * 100)
    limit = F.when(F.col("ticker").isin(list(PRICED_FUNDS)), fund_percent).otherwise(stock_percent)
    numbered = bars.join(F.broadcast(sessions), on="trade_date", how="inner")
    changed = numbered.select(*bars.columns, change.alias("change_percent"))
    jump = F.when(F.abs("change_percent") > limit, F.col("change_percent"))
    return changed.select(*bars.columns, jump.alias("jump_percent"))
