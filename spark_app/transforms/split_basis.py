"""Bars of a user's own files: closes on one basis of splits, and adjusted closes from dividends.

Staged closes contain every split up to the last bar of their ticker, and no later one: a split that no bar lists could
not be taken into account by what reads the bars.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_app.transforms.market_caps import share_ratio
from spark_app.transforms.prices import is_finite, usable_price

_LATEST_EFFECT_DAYS = 10
"""An event takes effect on the first bar from its date on; after so many calendar days it is none of a missing bar."""

_SMALLEST_STEP = 1.2
"""A split closer to 1 is within what a share moves in a day."""

PRICES = ("open_price", "high_price", "low_price", "close_price")
_LARGEST_VOLUME = 2.0**62


def splits_of_tickers(splits: DataFrame) -> DataFrame:
    """List the splits of each ticker: ticker, splits (array of ex_date, split_ratio).

    Columns in: ticker, ex_date, split_ratio; unique per (ticker, ex_date).
    """
    return splits.groupBy("ticker").agg(F.collect_list(F.struct("ex_date", "split_ratio")).alias("splits"))


def with_events(bars: DataFrame, splits: DataFrame, dividends: DataFrame) -> DataFrame:
    """Add the dividend and the split ratio that take effect on each bar: the first one from the ex-date on.

    Columns in: `bars` have ticker, trade_date; `splits` ticker, ex_date, split_ratio; `dividends` ticker, ex_date,
        dividend.
    Columns out: those of `bars`, dividend (0 for none), split_ratio (1 for none).
    """
    key = ["ticker", "trade_date"]
    ratios = _effective(splits, bars).groupBy(*key).agg(F.product("split_ratio").alias("split_ratio"))
    amounts = _effective(dividends, bars).groupBy(*key).agg(F.sum("dividend").alias("dividend"))
    joined = bars.join(F.broadcast(amounts), on=key, how="left").join(F.broadcast(ratios), on=key, how="left")
    return joined.select(
        *bars.columns,
        F.coalesce("dividend", F.lit(0.0)).alias("dividend"),
        F.coalesce("split_ratio", F.lit(1.0)).alias("split_ratio"),
    )


def _effective(events: DataFrame, bars: DataFrame) -> DataFrame:
    """Add the trade_date on which each event takes effect; events without a bar are dropped."""
    days = F.sequence(F.lit(0), F.lit(_LATEST_EFFECT_DAYS - 1))
    candidates = events.withColumn("trade_date", F.explode(F.transform(days, lambda n: F.date_add("ex_date", n))))
    found = bars.select("ticker", "trade_date").join(candidates, on=["ticker", "trade_date"], how="inner")
    values = [name for name in events.columns if name not in ("ticker", "ex_date")]
    return found.groupBy("ticker", "ex_date", *values).agg(F.min("trade_date").alias("trade_date"))


def with_split_basis(
    bars: DataFrame, splits: DataFrame, last_bars: DataFrame, *, prices: Sequence[str], contained_until: Column
) -> DataFrame:
    """Bring prices, dividends and volumes to the basis of the last bar of their ticker.

    Columns in: `bars` have ticker, trade_date, the prices, volume, dividend; `splits` have ticker, ex_date,
        split_ratio; `last_bars` have ticker, last_bar.
    Columns out: those of `bars`; a volume that is too large to be stored is null.

    Args:
        prices: the columns that are prices on the basis of the closes.
        contained_until: a date: the splits up to it are contained in the prices of a bar already.
    """
    known = splits_of_tickers(splits).join(last_bars, on="ticker", how="inner")
    joined = bars.join(F.broadcast(known), on="ticker", how="left")
    day, last = F.col("trade_date"), F.col("last_bar")
    lacking = _product(lambda ex_date: (ex_date > F.greatest(day, contained_until)) & (ex_date <= last))
    too_many = _product(lambda ex_date: (ex_date > F.greatest(day, last)) & (ex_date <= contained_until))
    divisor = F.coalesce(lacking / too_many, F.lit(1.0))
    volume = F.round(F.col("volume") * F.col("_divisor"))
    scaled = {name: F.col(name) / F.col("_divisor") for name in (*prices, "dividend")}
    scaled["volume"] = F.when(F.abs(volume) < _LARGEST_VOLUME, volume.cast("bigint"))
    changed = joined.withColumn("_divisor", divisor)
    is_same = F.col("_divisor") == 1
    return changed.select(
        *[
            F.when(is_same, F.col(name)).otherwise(scaled[name]).alias(name) if name in scaled else name
            for name in bars.columns
        ]
    )


def with_quote_basis(quotes: DataFrame, splits: DataFrame, spans: DataFrame) -> DataFrame:
    """Work the splits that no bar lists into the prices of quotes: those after the last bar, and before the first one.

    A quote after the last bar is brought to the basis of that bar. To one before the first bar the splits of shares up
    to that bar apply, as the listed ones do later; a spin-off changes no number of shares.

    Columns in: `quotes` have ticker, quote_date, price; `splits` ticker, ex_date, split_ratio; `spans` ticker,
        first_bar, last_bar.
    Columns out: those of `quotes`.
    """
    of_shares = splits.withColumn("trade_date", F.col("ex_date")).withColumn("share_ratio", share_ratio())
    listed = F.collect_list(F.struct("ex_date", "split_ratio", "share_ratio")).alias("splits")
    known = of_shares.groupBy("ticker").agg(listed).join(spans, on="ticker", how="inner")
    joined = quotes.join(F.broadcast(known), on="ticker", how="left")
    quoted, first = F.col("quote_date"), F.col("first_bar")
    later = _product(lambda ex_date: (ex_date > F.col("last_bar")) & (ex_date <= quoted))
    # A split of the ten days before the first bar takes effect on it.
    earlier = _product(
        lambda ex_date: (ex_date > quoted) & (F.date_add(ex_date, _LATEST_EFFECT_DAYS) <= first), "share_ratio"
    )
    price = (F.col("price") * F.coalesce(later / earlier, F.lit(1.0))).alias("price")
    return joined.select(*[price if name == "price" else name for name in quotes.columns])


def _product(is_counted: Callable[[Column], Column], ratio: str = "split_ratio") -> Column:
    """The product of the ratios of the splits whose date is counted, null without a split."""
    counted = F.filter("splits", lambda split: is_counted(split["ex_date"]))
    return F.aggregate(counted, F.lit(1.0), lambda product, split: product * split[ratio])


def with_dividend_adjusted_close(bars: DataFrame) -> DataFrame:
    """Compute the adjusted closes from the closes and the dividends.

    Before an ex-date they are multiplied by 1 - dividend / close of the bar before it, as Yahoo does. A dividend that
    is not between 0 and that close counts as none.

    Columns in: ticker, trade_date, close_price, dividend, adj_close_price; unique per (ticker, trade_date).
    Columns out: those of `bars`.
    """
    # Newest first: so a running product is that of the later ex-dates, and costs one pass.
    newest_first = Window.partitionBy("ticker").orderBy(F.desc("trade_date"))
    later = newest_first.rowsBetween(Window.unboundedPreceding, -1)
    before, dividend = F.lead("close_price").over(newest_first), F.col("dividend")
    factor = F.when((dividend > 0) & (dividend < before), 1 - dividend / before).otherwise(1.0)
    adjusted = F.col("close_price") * F.coalesce(F.product("_factor").over(later), F.lit(1.0))
    with_factor = bars.withColumn("_factor", factor)
    return with_factor.select(*[adjusted.alias(name) if name == "adj_close_price" else name for name in bars.columns])


def split_steps(bars: DataFrame) -> DataFrame:
    """Say how the closes step at each split of 6:5 or more.

    Columns in: ticker, trade_date, close_price, split_ratio; unique per (ticker, trade_date).
    Columns out: ticker, trade_date, split_ratio, step: -1 where the closes are divided by the ratio, as if they did not
        contain it; 1 where they are multiplied by it; 0 where they do neither.
    """
    of_ticker = Window.partitionBy("ticker").orderBy("trade_date")
    close = usable_price(F.col("close_price"))
    change = F.log(close / F.lag(close).over(of_ticker))
    ratio = F.log("split_ratio")
    stepped = bars.select("ticker", "trade_date", "split_ratio", change.alias("change"))
    listed = stepped.where(F.abs(ratio) >= F.log(F.lit(_SMALLEST_STEP)) - 1e-9).where(is_finite(F.col("change")))
    move = F.abs("change")
    step = F.when(2 * F.abs(F.col("change") + ratio) <= move, -1).when(2 * F.abs(F.col("change") - ratio) <= move, 1)
    return listed.select("ticker", "trade_date", "split_ratio", F.coalesce(step, F.lit(0)).alias("step"))
