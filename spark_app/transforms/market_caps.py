"""The market cap of a company at a date, from a quote that may be of another date."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_app.transforms.current import fetched_on
from spark_app.transforms.measured_splits import is_listed_split
from spark_app.transforms.point_in_time import is_look_ahead, join_point_in_time
from spark_app.transforms.prices import usable_price
from spark_app.universe import SAME_SPLIT_SESSIONS, SPLIT_OVERRIDES

_LARGEST_TERM = 20
"""The smaller term of a split of shares: 21:20 is a stock dividend of 5 %, 1253:1000 the price of a spin-off."""

_EXACT = 1e-9
"""Staging stores ratios as doubles; 5:3 times 3 is a whole number up to rounding."""

_REPEAT_DAYS = SAME_SPLIT_SESSIONS // 5 * 7
"""The same ratio listed again within these calendar days is one split: bars that were staged before charts were
reconciled have it twice."""


def with_market_cap(asked: DataFrame, quotes: DataFrame, bars: DataFrame) -> DataFrame:
    """Add the market cap at each asked date.

    The cap of a quote of the same date is used as reported. Any other is scaled by close / quoted price, and by the
    splits after the quote that are already in the stored close (Yahoo restates closes for later splits). A spin-off
    that is listed as a split changes closes but not the number of shares, so it does not scale the cap.

    Columns in: `asked` has ticker, as_of_date and any others; `quotes` are current (schemas.QUOTES);
        `bars` are current and have ticker, trade_date, close_price, split_ratio, fetched_at. They include the bars
        after the asked dates, whose splits restated the earlier closes.
    Columns out: those of `asked`, company_name, market_cap BIGINT (USD, rounded half up),
        quote_date (null without a quote),
        market_cap_basis (quoted, or later_quote for a look-ahead quote; null without a cap),
        market_cap_unavailable_reason (a sentence; null with a cap).
    """
    named_quotes = quotes.withColumn("company_name", F.coalesce("long_name", "short_name")).select(
        "ticker", "quote_date", "company_name", F.col("market_cap").alias("quoted_cap"), "price"
    )
    quoted = join_point_in_time(
        asked, named_quotes, key="ticker", date="quote_date", carry=("company_name", "quoted_cap", "price")
    )
    closes = bars.select("ticker", F.col("trade_date").alias("as_of_date"), "close_price", "fetched_at")
    priced = quoted.join(closes, on=["ticker", "as_of_date"], how="left")
    complete = priced.join(F.broadcast(_splits_of_tickers(bars)), on="ticker", how="left")

    is_reported = F.col("quote_date") == F.col("as_of_date")
    quoted_cap = F.when(F.col("quoted_cap") > 0, F.col("quoted_cap"))
    market_cap = F.when(is_reported, quoted_cap).otherwise(_scaled_cap(quoted_cap))
    basis = F.when(is_look_ahead("quote_date"), "later_quote").otherwise("quoted")
    with_cap = complete.withColumn("market_cap", market_cap)
    return with_cap.select(
        *asked.columns,
        "company_name",
        "market_cap",
        "quote_date",
        F.when(F.col("market_cap").isNotNull(), basis).alias("market_cap_basis"),
        F.when(F.col("market_cap").isNull(), _missing_part(quoted_cap)).alias("market_cap_unavailable_reason"),
    )


def without_later_caps(stocks: DataFrame) -> DataFrame:
    """Take away the market caps of quotes that are dated after the date they are used on.

    Columns in: as `with_market_cap` gives them. Columns out: the same; market_cap and market_cap_basis are null and
        market_cap_unavailable_reason says so where the quote is look-ahead.
    """
    is_later = F.coalesce(is_look_ahead("quote_date"), F.lit(False))
    later = F.format_string("no quote of the time: the first is of %s", F.col("quote_date").cast("string"))
    return stocks.withColumns(
        {
            "market_cap_unavailable_reason": F.when(is_later, later).otherwise(F.col("market_cap_unavailable_reason")),
            "market_cap": F.when(~is_later, F.col("market_cap")),
            "market_cap_basis": F.when(~is_later, F.col("market_cap_basis")),
        }
    )


def _scaled_cap(quoted_cap: Column) -> Column:
    close, price = usable_price(F.col("close_price")), usable_price(F.col("price"))
    return F.round(quoted_cap * close / price * _split_factor()).try_cast("bigint")


def _split_factor() -> Column:
    """The new shares per old share by the splits after the quote that were in the close when it was fetched."""

    def is_contained(split: Column) -> Column:
        return (split["trade_date"] > F.col("quote_date")) & (split["trade_date"] <= fetched_on())

    contained = F.filter(F.coalesce("splits", F.array()), is_contained)
    return F.aggregate(contained, F.lit(1.0), lambda product, split: product * split["share_ratio"])


def _splits_of_tickers(bars: DataFrame) -> DataFrame:
    """List the splits of shares of each ticker: ticker, splits (by date: trade_date, share_ratio)."""
    listed = bars.where(is_listed_split(F.col("split_ratio")))
    splits = listed.withColumn("share_ratio", share_ratio()).where(F.col("share_ratio") != 1)
    by_date = F.sort_array(F.collect_list(F.struct("trade_date", "share_ratio")))
    return splits.groupBy("ticker").agg(by_date.alias("splits")).withColumn("splits", F.filter("splits", _is_counted))


def share_ratio() -> Column:
    """The new shares per old share of a listed split: its ratio, 1 for a spin-off, or what the overrides say.

    Columns in: ticker, trade_date, split_ratio.

    A ratio above 1 has a smaller term of at most 20 if one of its first 20 multiples is whole.
    """
    ratio = F.col("split_ratio")
    larger = F.greatest(ratio, 1 / ratio)
    multiples = F.transform(F.sequence(F.lit(1), F.lit(_LARGEST_TERM)), lambda term: larger * term)
    is_of_shares = F.exists(multiples, lambda multiple: F.abs(multiple - F.rint(multiple)) <= _EXACT * multiple)
    shares = F.when(is_of_shares, ratio).otherwise(1.0)
    day = F.col("trade_date")
    for override in SPLIT_OVERRIDES:
        is_meant = (F.col("ticker") == override.ticker) & (day >= override.valid_from) & (day < override.valid_to)
        known = ratio if override.share_ratio is None else F.lit(override.share_ratio)
        shares = F.when(is_meant, known).otherwise(shares)
    return shares


def _is_counted(split: Column) -> Column:
    """Whether the same ratio is not listed again within 10 sessions: the later date counts."""

    def is_same(later: Column) -> Column:
        days = F.date_diff(later["trade_date"], split["trade_date"])
        return (later["share_ratio"] == split["share_ratio"]) & (days > 0) & (days <= _REPEAT_DAYS)

    return ~F.exists(F.col("splits"), is_same)


def _missing_part(quoted_cap: Column) -> Column:
    quote_date, as_of_date = F.col("quote_date").cast("string"), F.col("as_of_date").cast("string")
    price, close = usable_price(F.col("price")), usable_price(F.col("close_price"))
    return (
        F.when(quote_date.isNull(), "no quote")
        .when(quoted_cap.isNull(), F.format_string("no market cap in the quote of %s", quote_date))
        .when(price.isNull(), F.format_string("no usable price in the quote of %s", quote_date))
        .when(close.isNull(), F.format_string("no usable close on %s", as_of_date))
        .otherwise("the market cap is too large to be stored")
    )
