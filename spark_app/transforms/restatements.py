"""What a newer fetch says otherwise about sessions that were known: splits, dividends, corrections."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

_SAME = 1e-6
"""Yahoo's prices are float32: a ratio nearer to 1 is rounding."""


def restatements(bars: DataFrame, run_ids: Sequence[str]) -> DataFrame:
    """Sum up, ticker by ticker and run by run, which staged bars some runs restated.

    Columns in: ticker, trade_date, close_price, adj_close_price, fetched_at, run_id; all fetches of each bar.
    Columns out: ticker, kind (`split`: the closes moved, `dividend`: only the adjusted closes, `correction`:
    neither moved throughout), ratio (median of new to old of what moved, 1 for a correction), sessions,
    first_date, last_date.
    """
    fetches_of_bar = Window.partitionBy("ticker", "trade_date").orderBy("fetched_at")
    before = F.lag(F.struct("close_price", "adj_close_price")).over(fetches_of_bar)
    compared = bars.select("*", before.alias("before")).where(
        F.col("run_id").isin(list(run_ids)) & F.col("before").isNotNull()
    )
    moved = compared.groupBy("ticker", "run_id").agg(
        F.median(F.col("close_price") / F.col("before.close_price")).alias("close_ratio"),
        F.median(F.col("adj_close_price") / F.col("before.adj_close_price")).alias("adjusted_ratio"),
        F.count("*").cast("int").alias("sessions"),
        F.min("trade_date").alias("first_date"),
        F.max("trade_date").alias("last_date"),
    )
    is_split, is_dividend = _moved("close_ratio"), _moved("adjusted_ratio")
    kind = F.when(is_split, "split").when(is_dividend, "dividend").otherwise("correction")
    ratio = F.when(is_split, F.col("close_ratio")).when(is_dividend, F.col("adjusted_ratio")).otherwise(1.0)
    return moved.select("ticker", kind.alias("kind"), ratio.alias("ratio"), "sessions", "first_date", "last_date")


def _moved(ratio: str) -> Column:
    return F.abs(F.col(ratio) - 1) > _SAME
