"""The funds' holdings: the sector of a stock at a date, and the served table of snapshots."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_app.schemas import ETF_HOLDINGS
from spark_app.transforms.point_in_time import is_look_ahead, join_point_in_time
from spark_app.transforms.serving import served_columns
from spark_app.transforms.trends import sector_name
from spark_app.universe import BENCHMARKS, DEFAULT_UNIVERSE, Rename, Universe, newest_ticker


def sector_memberships(
    holdings: DataFrame,
    as_of_dates: DataFrame,
    renames: Sequence[Rename] = (),
    universe: Universe = DEFAULT_UNIVERSE,
    *,
    is_look_ahead_allowed: bool = True,
) -> DataFrame:
    """Assign each stock to one sector fund of the universe at each date.

    Columns in: `holdings` are current, as `current_holdings` gives them; `as_of_dates` has as_of_date.
    Columns out: as_of_date, ticker, etf_ticker, sector (GICS), holding_percent, snapshot_date, is_look_ahead
        (the snapshot is dated after as_of_date); unique per (as_of_date, ticker). holding_percent is in percent.

    Args:
        renames: what a snapshot of before the rename calls by the old ticker becomes a member by the newest one.
        is_look_ahead_allowed: without it a fund has no members before its first snapshot.
    """
    snapshots = fund_snapshots(holdings, as_of_dates, universe)
    if not is_look_ahead_allowed:
        snapshots = snapshots.where(~F.col("is_look_ahead"))
    ticker = _newest_ticker("holding_ticker", "snapshot_date", renames).alias("ticker")
    shares = holdings.select("etf_ticker", "snapshot_date", ticker, "holding_percent")
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


def within_index(memberships: DataFrame, index_members: DataFrame, renames: Sequence[Rename] = ()) -> DataFrame:
    """Keep the memberships of stocks that were in an index at the date: who may be held.

    Columns in: `memberships` has as_of_date, ticker, any others; `index_members` has ticker, start_date, end_date
        (exclusive; null while it lasts).
    Columns out: those of `memberships`.

    Args:
        renames: what the index calls by the old ticker from before the rename is the stock of the newest one.
    """
    ticker = _newest_ticker("ticker", "start_date", renames).alias("index_ticker")
    spans = index_members.select(ticker, "start_date", "end_date")
    date = F.col("as_of_date")
    is_inside = (F.col("start_date") <= date) & (F.col("end_date").isNull() | (date < F.col("end_date")))
    is_member = (F.col("ticker") == F.col("index_ticker")) & is_inside
    return memberships.join(F.broadcast(spans), on=is_member, how="left_semi")


def _newest_ticker(named: str, date: str, renames: Sequence[Rename]) -> Column:
    """The ticker by which a stock is known today that was `named` so at a date; both are names of columns."""
    ticker = F.col(named)
    # The last one that is added decides: of a ticker that was renamed twice, for two companies, the earlier rename.
    for rename in sorted(renames, key=lambda rename: rename.date, reverse=True):
        was_named_so = (F.col(named) == rename.old) & (F.col(date) < rename.date)
        ticker = F.when(was_named_so, newest_ticker(rename, renames)).otherwise(ticker)
    return ticker


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
        .selectExpr(*served_columns(ETF_HOLDINGS))
    )
