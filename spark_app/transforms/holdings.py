"""The funds' holdings: the sector of a stock at a date, and the served table of snapshots."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from spark_app.schemas import ETF_HOLDINGS
from spark_app.transforms.point_in_time import is_look_ahead, join_point_in_time
from spark_app.transforms.serving import served_columns
from spark_app.transforms.trends import sector_name
from spark_app.universe import BENCHMARKS, DEFAULT_UNIVERSE, Universe


def sector_memberships(holdings: DataFrame, as_of_dates: DataFrame, universe: Universe = DEFAULT_UNIVERSE) -> DataFrame:
    """Assign each stock to one sector fund of the universe at each date.

    Columns in: `holdings` are current, as `current_holdings` gives them; `as_of_dates` has as_of_date.
    Columns out: as_of_date, ticker, etf_ticker, sector (GICS), holding_percent, snapshot_date, is_look_ahead
        (the snapshot is dated after as_of_date); unique per (as_of_date, ticker). holding_percent is in percent.
    """
    snapshots = fund_snapshots(holdings, as_of_dates, universe)
    shares = holdings.select("etf_ticker", "snapshot_date", F.col("holding_ticker").alias("ticker"), "holding_percent")
    # Of a stock in two funds, or twice in one, the row with the largest percentage is used.
    largest_first = Window.partitionBy("as_of_date", "ticker").orderBy(
        F.desc_nulls_last("holding_percent"), "etf_ticker"
    )
    candidates = shares.join(F.broadcast(snapshots), on=["etf_ticker", "snapshot_date"], how="inner")
    return (
        candidates.withColumn("choice", F.row_number().over(largest_first))
        .where(F.col("choice") == 1)
        .withColumn("sector", sector_name(F.col("etf_ticker"), universe))
        .select("as_of_date", "ticker", "etf_ticker", "sector", "holding_percent", "snapshot_date", "is_look_ahead")
    )


def fund_snapshots(holdings: DataFrame, as_of_dates: DataFrame, universe: Universe = DEFAULT_UNIVERSE) -> DataFrame:
    """Find the snapshot of each sector fund at each date, by an as-of join.

    Columns in: `holdings` has etf_ticker, snapshot_date; `as_of_dates` has as_of_date.
    Columns out: as_of_date, etf_ticker, snapshot_date and is_look_ahead (both null for a fund without any snapshot);
        one row per date and sector fund.
    """
    fund = F.explode(F.array(*[F.lit(ticker) for ticker in universe.sectors]))
    asked = as_of_dates.select("as_of_date", fund.alias("etf_ticker"))
    dated = join_point_in_time(asked, holdings, key="etf_ticker", date="snapshot_date")
    return dated.withColumn("is_look_ahead", is_look_ahead("snapshot_date"))


def ranked_holdings(holdings: DataFrame) -> DataFrame:
    """Rank the holdings of each snapshot and add how much of the fund's weight the snapshot covers.

    Columns in: those of schemas.HOLDINGS, current.
    Columns out: those of schemas.ETF_HOLDINGS less run_id; as_of_date is the snapshot's date, holding_rank
        is by percentage, ties by ticker; of a ticker that is listed twice the larger percentage is used.
    """
    snapshot = Window.partitionBy("etf_ticker", "snapshot_date")
    by_weight = snapshot.orderBy(F.desc_nulls_last("holding_percent"), "holding_ticker")
    named_again = Window.partitionBy("etf_ticker", "snapshot_date", "holding_ticker").orderBy(
        F.desc_nulls_last("holding_percent"), "holding_name"
    )
    etf_type = F.when(F.col("etf_ticker").isin(*BENCHMARKS), "benchmark").otherwise("sector")
    return (
        holdings.withColumn("mention", F.row_number().over(named_again))
        .where(F.col("mention") == 1)
        .withColumn("as_of_date", F.col("snapshot_date"))
        .withColumn("etf_type", etf_type)
        .withColumn("sector_name", sector_name(F.col("etf_ticker")))
        .withColumn("holding_rank", F.row_number().over(by_weight))
        .withColumn("coverage_percent", F.sum("holding_percent").over(snapshot))
        .select(*served_columns(ETF_HOLDINGS))
    )
