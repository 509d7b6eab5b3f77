"""Restatements: staged bars that a newer fetch changed, because of a split, a dividend or a correction."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

_SAME = 1e-6
"""Yahoo's prices are float32: a ratio closer to 1 is rounding."""


def restatements(bars: DataFrame, run_ids: Sequence[str] | None = None) -> DataFrame:
    """Summarize, per ticker and run, the staged bars that some runs restated, None for all of them.

    Columns in: ticker, trade_date, close_price, adj_close_price, fetched_at, run_id; all fetches of each bar.
    Columns out: ticker, run_id (whose fetch changed them), kind (`split`: the closes changed; `dividend`: only the
        adjusted closes; `correction`: neither by a common ratio), ratio (median of new / old of the changed price, 1
        for a correction), sessions (number of restated bars), first_date, last_date, noticed_at (the newest fetch).
    Source: Yahoo restates closes for later splits, and adjusted closes for later splits and dividends.
    """
    fetches_of_bar = Window.partitionBy("ticker", "trade_date").orderBy("fetched_at")
    before = F.lag(F.struct("close_price", "adj_close_price")).over(fetches_of_bar)
    compared = bars.select("*", before.alias("before")).where(F.col("before").isNotNull())
    if run_ids is not None:
        compared = compared.where(F.col("run_id").isin(list(run_ids)))
    moved = compared.groupBy("ticker", "run_id").agg(
        F.median(F.col("close_price") / F.col("before.close_price")).alias("close_ratio"),
        F.median(F.col("adj_close_price") / F.col("before.adj_close_price")).alias("adjusted_ratio"),
        F.count("*").cast("int").alias("sessions"),
        F.min("trade_date").alias("first_date"),
        F.max("trade_date").alias("last_date"),
        F.max("fetched_at").alias("noticed_at"),
    )
    is_split, is_dividend = _moved("close_ratio"), _moved("adjusted_ratio")
    kind = F.when(is_split, "split").when(is_dividend, "dividend").otherwise("correction")
    ratio = F.when(is_split, F.col("close_ratio")).when(is_dividend, F.col("adjusted_ratio")).otherwise(1.0)
    dates = ("first_date", "last_date", "noticed_at")
    return moved.select("ticker", "run_id", kind.alias("kind"), ratio.alias("ratio"), "sessions", *dates)


def _moved(ratio: str) -> Column:
    return F.abs(F.col(ratio) - 1) > _SAME
