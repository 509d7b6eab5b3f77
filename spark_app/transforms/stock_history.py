"""The served price history of stocks: prices with the company's name, sector and reported market cap."""

from __future__ import annotations

import datetime as dt

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_app.schemas import STOCK_HISTORY
from spark_app.transforms.point_in_time import join_point_in_time
from spark_app.transforms.serving import served_columns


def stock_history(prices: DataFrame, memberships: DataFrame, quotes: DataFrame, *, as_of: dt.date) -> DataFrame:
    """Add to each price row what was known of the company on that very session.

    Columns in: `prices` as `daily_prices` gives them; `memberships` as `sector_memberships` gives them for the
        sessions of the prices and for `as_of`; `quotes` are current (schemas.QUOTES).
    Columns out: those of schemas.STOCK_HISTORY less run_id. sector is that of the row's session, or where the
        stock was in no fund then, that of `as_of`; market_cap (USD) stands on the session of its quote alone.
    """
    named = quotes.withColumn("company_name", F.coalesce("long_name", "short_name"))
    asked = prices.withColumn("as_of_date", F.col("trade_date"))
    with_name = join_point_in_time(asked, named, key="ticker", date="quote_date", carry=("company_name", "market_cap"))
    sectors_then = memberships.select("as_of_date", "ticker", F.col("sector").alias("sector_then"))
    sectors_now = memberships.where(F.col("as_of_date") == F.lit(as_of)).select(
        "ticker", F.col("sector").alias("sector_now")
    )
    reported_cap = F.when(F.col("quote_date") == F.col("trade_date"), F.col("market_cap"))
    return (
        with_name.join(F.broadcast(sectors_then), on=["as_of_date", "ticker"], how="left")
        .join(F.broadcast(sectors_now), on="ticker", how="left")
        .withColumn("sector", F.coalesce("sector_then", "sector_now"))
        .withColumn("market_cap", F.when(reported_cap > 0, reported_cap))
        .select(*served_columns(STOCK_HISTORY))
    )
