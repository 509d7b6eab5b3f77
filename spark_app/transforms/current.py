"""The current rows of the append-only staging tables: for each key, those that were fetched last.

Over rows with `fetched_at <= T` the same functions give the state of staging at T.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_app.market_calendar import NEW_YORK


def fetched_on() -> Column:
    """The day (New York) of a fetch.

    Columns in: fetched_at; times are in UTC, the time zone of the session.
    """
    return F.to_date(F.from_utc_timestamp("fetched_at", NEW_YORK.key))


def current_bars(bars: DataFrame) -> DataFrame:
    """Keep the newest fetched bar of each (ticker, trade_date).

    Columns in and out: ticker, trade_date, fetched_at, any others of schemas.BARS. Drop unused columns
    first: every column goes through the shuffle.
    """
    return _newest_rows(bars, "ticker", "trade_date")


def current_quotes(quotes: DataFrame) -> DataFrame:
    """Keep the newest fetched quote of each (ticker, quote_date).

    Columns in and out: ticker, quote_date, fetched_at, any others of schemas.QUOTES.
    """
    return _newest_rows(quotes, "ticker", "quote_date")


def current_holdings(holdings: DataFrame) -> DataFrame:
    """Keep all rows of the newest fetch of each (etf_ticker, snapshot_date): a snapshot is replaced as a whole.

    Columns in and out: etf_ticker, snapshot_date, fetched_at, any others of schemas.HOLDINGS.
    """
    snapshot = Window.partitionBy("etf_ticker", "snapshot_date")
    dated = holdings.withColumn("newest_fetched_at", F.max("fetched_at").over(snapshot))
    return dated.where(F.col("fetched_at") == F.col("newest_fetched_at")).drop("newest_fetched_at")


def current_index_membership(memberships: DataFrame) -> DataFrame:
    """Keep all rows of the newest import: a file of memberships is replaced as a whole.

    Columns in and out: fetched_at, any others of schemas.INDEX_MEMBERSHIP.
    """
    newest = memberships.agg(F.max("fetched_at").alias("fetched_at"))
    return memberships.join(F.broadcast(newest), on="fetched_at", how="left_semi")


def _newest_rows(rows: DataFrame, *key: str) -> DataFrame:
    # One maximum over whole rows: faster than row_number(), and equal fetch times cannot mix two rows.
    values = sorted((name for name in rows.columns if name not in key), key=lambda name: name != "fetched_at")
    newest = rows.groupBy(*key).agg(F.max(F.struct(*values)).alias("newest"))
    return newest.select(*[name if name in key else F.col(f"newest.{name}") for name in rows.columns])
