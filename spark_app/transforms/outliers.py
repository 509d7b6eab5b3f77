"""Price outliers: changes from one session to the next that are too large to be plausible, though they may be true."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from spark_app.universe import PRICED_FUNDS


def with_outlier(bars: DataFrame, sessions: DataFrame, *, stock_percent: float, fund_percent: float) -> DataFrame:
    """Add the change of the adjusted close since the previous session, in percent, where it is an outlier.

    Both closes come from the same fetch. Adjusted closes contain splits and dividends, so neither explains the change.
    A bar without a bar on the previous session is not an outlier.

    Columns in: ticker, trade_date, adj_close_price, fetched_at; bars without a defect, unique per
        (ticker, trade_date, fetched_at).
    Columns out: those of `bars`, price_outlier_percent (null where the change is within the limit).

    Args:
        sessions: trade_date, session_number (dense, increasing).
        stock_percent, fund_percent: the largest plausible change, up or down, in percent; smaller for funds.
    """
    by_session = Window.partitionBy("ticker", "fetched_at").orderBy("session_number")
    is_next_session = F.col("session_number") == F.lag("session_number").over(by_session) + 1
    change = F.when(is_next_session, (F.col("adj_close_price") / F.lag("adj_close_price").over(by_session) - 1) * 100)
    limit = F.when(F.col("ticker").isin(list(PRICED_FUNDS)), fund_percent).otherwise(stock_percent)
    numbered = bars.join(F.broadcast(sessions), on="trade_date", how="inner")
    changed = numbered.select(*bars.columns, change.alias("change_percent"))
    outlier = F.when(F.abs("change_percent") > limit, F.col("change_percent"))
    return changed.select(*bars.columns, outlier.alias("price_outlier_percent"))
