"""Trends of stocks: a stock of a trending sector trends if it returned more than the sector's fund."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_app.transforms.trends import rank_by_return
from spark_app.universe import PERIODS

_MEASURES = ("return", "sector_avg", "is_trending", "rank", "unavailable_code", "unavailable_reason")


def stock_trends(stock_returns: DataFrame, sector_trends: DataFrame, *, periods: Sequence[int] = PERIODS) -> DataFrame:
    """Compare each stock with its sector's fund over each period; one row per stock and date.

    Columns in: `stock_returns` as `session_returns` gives them for members of sector funds: as_of_date, ticker,
        etf_ticker, any others, period_days, return_pct, unavailable_code, unavailable_reason. `sector_trends` as the
        function of that name gives them.
    Columns out: as_of_date, ticker, etf_ticker and the others; for each period, here 5: return_5d, sector_avg_5d
        (the return of the sector's fund), is_trending_5d, rank_5d (among the members with a return),
        unavailable_code_5d and unavailable_reason_5d (null where there is a return).
    """
    # The rows of a date are in one partition: ranks, pivot and the portfolio's windows need no further shuffle.
    compared = compared_with_sector(stock_returns, sector_trends)
    measured = compared.withColumn("return", F.col("return_pct")).withColumn(
        "rank", rank_by_return("return_pct", "as_of_date", "etf_ticker", "period_days")
    )
    per_period = ("period_days", "return_pct", "unavailable_code", "unavailable_reason")
    stock = [name for name in stock_returns.columns if name not in per_period]
    measures = [
        F.max(F.when(F.col("period_days") == n, F.col(measure))).alias(f"{measure}_{n}d")
        for n in periods
        for measure in _MEASURES
    ]
    return measured.groupBy(*stock).agg(*measures)


def compared_with_sector(stock_returns: DataFrame, sector_trends: DataFrame) -> DataFrame:
    """Add the return of the sector's fund, and whether the stock trends.

    Columns in: as for `stock_trends`.
    Columns out: those of `stock_returns`, sector_avg (null where the fund has no return), is_trending.
    """
    sectors = sector_trends.select(
        "as_of_date",
        "etf_ticker",
        "period_days",
        F.col("return_pct").alias("sector_avg"),
        F.col("is_trending").alias("is_sector_trending"),
    )
    joined = stock_returns.join(F.broadcast(sectors), on=["as_of_date", "etf_ticker", "period_days"], how="left")
    is_trending = F.col("is_sector_trending") & (F.col("return_pct") > F.col("sector_avg"))
    trends = joined.withColumn("is_trending", F.coalesce(is_trending, F.lit(False)))
    return trends.select(*stock_returns.columns, "sector_avg", "is_trending")
