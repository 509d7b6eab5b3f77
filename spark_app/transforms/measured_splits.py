"""The splits as the restatements of the closes show them, which decide where they contradict what is listed."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, DoubleType, StringType, StructField, StructType

from spark_app.transforms.current import fetched_on
from spark_app.transforms.prices import is_finite, usable_price

_AGREES = 0.005
"""What is measured within half a percent of the listed ratio confirms it: prices are float32."""

_UNCHANGED = 1e-6
"""Closes that differ by less were not restated: prices are float32."""

_LARGEST_TERM, _EXACT = 20, 1e-5
"""What is measured is so close to a ratio of small whole numbers, if it is one."""

CONTRADICTED_SPLITS = StructType(
    [
        StructField("ticker", StringType()),
        StructField("trade_date", DateType()),
        StructField("listed_ratio", DoubleType()),
        StructField("measured_ratio", DoubleType()),
    ]
)
"""One row for each split; ratios are new shares per old share."""


def is_listed_split(ratio: Column) -> Column:
    """Whether a bar lists a split: its ratio is positive, finite and not 1."""
    return is_finite(ratio) & (ratio > 0) & (ratio != 1)


def contradicted_splits(bars: DataFrame, staged: DataFrame) -> DataFrame:
    """Find the listed splits of which staging shows another ratio.

    Measured is the median of old / new close over the sessions before the split that were staged before its date: old
    is the newest close of before that date, new the newest one of since then, up to the next split. A session that was
    not restated since then has the ratio 1, unless the closes step at the split: then it only waits to be restated.

    Columns in: `bars` are current and have ticker, trade_date, split_ratio; `staged` are all fetches of the bars, with
        ticker, trade_date, close_price, fetched_at.
    Columns out: those of CONTRADICTED_SPLITS.
    """
    splits = F.broadcast(_listed_splits(bars))
    closes = staged.select("ticker", "trade_date", usable_price(F.col("close_price")).alias("close"), "fetched_at")
    versions = closes.join(splits, on="ticker", how="inner").where(
        F.col("close").isNotNull() & (F.col("trade_date") <= F.col("split_date")) & _is_around_this_split_only()
    )
    return _measured(versions)


def with_measured_splits(bars: DataFrame, contradicted: DataFrame) -> DataFrame:
    """Replace the listed ratio of a split by the measured one.

    Columns in: `bars` have ticker, trade_date, split_ratio and any others; `contradicted` as `contradicted_splits`
        gives them.
    Columns out: those of `bars`.
    """
    measured = F.broadcast(contradicted.select("ticker", "trade_date", "measured_ratio"))
    joined = bars.join(measured, on=["ticker", "trade_date"], how="left")
    ratio = F.coalesce("measured_ratio", "split_ratio").alias("split_ratio")
    return joined.select(*[ratio if name == "split_ratio" else name for name in bars.columns])


def _listed_splits(bars: DataFrame) -> DataFrame:
    """List the splits: ticker, split_date, listed_ratio, and the dates of the splits before and after, or null."""
    of_ticker = Window.partitionBy("ticker").orderBy("trade_date")
    return bars.where(is_listed_split(F.col("split_ratio"))).select(
        "ticker",
        F.col("trade_date").alias("split_date"),
        F.col("split_ratio").alias("listed_ratio"),
        F.lag("trade_date").over(of_ticker).alias("previous_split"),
        F.lead("trade_date").over(of_ticker).alias("next_split"),
    )


def _is_around_this_split_only() -> Column:
    """Whether no other split lies between the fetch of a close and this split."""
    is_after_previous = F.coalesce(fetched_on() >= F.col("previous_split"), F.lit(True))
    return is_after_previous & F.coalesce(fetched_on() < F.col("next_split"), F.lit(True))


def _measured(versions: DataFrame) -> DataFrame:
    """Measure each split, and keep those that contradict what is listed."""
    is_old = fetched_on() < F.col("split_date")
    sessions = versions.groupBy("ticker", "split_date", "listed_ratio", "trade_date").agg(
        F.max_by("close", F.when(is_old, F.col("fetched_at"))).alias("old"),
        F.max_by("close", "fetched_at").alias("new"),
    )
    is_before = F.col("trade_date") < F.col("split_date")
    splits = sessions.groupBy("ticker", "split_date", "listed_ratio").agg(
        F.median(F.when(is_before, F.col("old") / F.col("new"))).alias("ratio"),
        F.max_by("old", F.when(is_before & F.col("old").isNotNull(), F.col("trade_date"))).alias("close_before"),
        F.max_by("new", F.when(~is_before, F.col("trade_date"))).alias("close_after"),
    )
    listed, ratio = F.col("listed_ratio"), F.col("ratio")
    is_decided = (F.abs(ratio - 1) > _UNCHANGED) | _is_nearer_to_no_step()
    contradicts = F.abs(ratio / listed - 1) > _AGREES
    return splits.where(is_decided & contradicts).select(
        "ticker",
        F.col("split_date").alias("trade_date"),
        "listed_ratio",
        _as_small_terms(ratio).alias("measured_ratio"),
    )


def _is_nearer_to_no_step() -> Column:
    """Whether the close at the split is nearer to the one before it than to that one divided by the listed ratio."""
    step = F.log(F.col("close_after") / F.col("close_before"))
    return F.abs(step) < F.abs(step + F.log("listed_ratio"))


def _as_small_terms(ratio: Column) -> Column:
    """The ratio of whole numbers, the smaller of at most 20, that the measured one is; else that one itself."""
    larger = F.greatest(ratio, 1 / ratio)
    terms = F.sequence(F.lit(1), F.lit(_LARGEST_TERM))
    fitting = F.filter(terms, lambda term: F.abs(larger * term - F.rint(larger * term)) <= _EXACT * larger * term)
    smaller = F.get(fitting, F.lit(0))
    exact = F.rint(larger * smaller) / smaller
    return F.when(smaller.isNull(), ratio).when(ratio < 1, 1 / exact).otherwise(exact)
