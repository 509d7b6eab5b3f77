"""The served price history of stocks: prices with the company's name, sector and reported market cap."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_app.schemas import STOCK_HISTORY
from spark_app.transforms.point_in_time import join_point_in_time
from spark_app.transforms.serving import served_columns


def stock_history(prices: DataFrame, sectors: DataFrame, quotes: DataFrame) -> DataFrame:
    """Add name, sector and market cap of the company to each price row.

    Columns in: `prices` as `daily_prices` gives them; `sectors` has ticker and sector, unique per ticker, or
        per (ticker, trade_date) if it has that column; `quotes` are current (schemas.QUOTES).
    Columns out: those of schemas.STOCK_HISTORY less run_id. company_name comes from an as-of join with the quotes;
        market_cap (USD, as reported) is set only on the session of its quote.
    """
    named = quotes.withColumn("company_name", F.coalesce("long_name", "short_name"))
    asked = prices.withColumn("as_of_date", F.col("trade_date"))
    with_name = join_point_in_time(asked, named, key="ticker", date="quote_date", carry=("company_name", "market_cap"))
    key: list[str] = [name for name in ("ticker", "trade_date") if name in sectors.columns]
    reported_cap = F.when(F.col("quote_date") == F.col("trade_date"), F.col("market_cap"))
    return (
        with_name.join(F.broadcast(sectors.select(*key, "sector")), on=key, how="left")
        .withColumn("market_cap", F.when(reported_cap > 0, reported_cap))
        .selectExpr(*served_columns(STOCK_HISTORY))
    )
