"""Exclusions: the members of trending sectors that are not in the portfolio, each with its first reason."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_app.transforms.options import PortfolioOptions


def with_exclusion(stocks: DataFrame, share_classes: DataFrame, options: PortfolioOptions) -> DataFrame:
    """Add why a member of the universe is excluded from the portfolio.

    Columns in: `stocks` as `stock_trends` gives them for the universe, with sector, holding_percent, market_cap
        and market_cap_unavailable_reason; `share_classes` has ticker, issuer, valid_from, valid_to (exclusive).
    Columns out: those of `stocks`, exclusion: a struct of reason (missing_bars | not_trending | no_market_cap |
        duplicate_issuer | below_top_n) and detail (a sentence for people), or null for a position. The first reason
        in this order is given; duplicates and ranks are counted among the stocks without an earlier one.
    """
    judged = stocks.withColumn("exclusion", _own_exclusion(options.basis_sessions))
    judged = with_duplicate_issuer(judged, share_classes)
    return with_below_top_n(
        judged, f"return_{options.basis_sessions}d", options.basis_sessions, top_n=options.top_n_per_sector
    )


def _own_exclusion(basis_sessions: int) -> Column:
    """The reasons that do not depend on other stocks."""
    basis = f"{basis_sessions}d"
    not_above_sector = F.format_string(
        f"%s %% over {basis_sessions} sessions is not above the %s %% of %s",
        F.col(f"return_{basis}").cast("string"),
        F.col(f"sector_avg_{basis}").cast("string"),
        "etf_ticker",
    )
    return (
        F.when(F.col(f"return_{basis}").isNull(), _exclusion("missing_bars", F.col(f"unavailable_reason_{basis}")))
        .when(~F.col(f"is_trending_{basis}"), _exclusion("not_trending", not_above_sector))
        .when(F.col("market_cap").isNull(), no_market_cap())
    )


def no_market_cap() -> Column:
    """The exclusion of a stock without a market cap.

    Columns in: market_cap_unavailable_reason.
    """
    return _exclusion("no_market_cap", F.col("market_cap_unavailable_reason"))


def with_duplicate_issuer(judged: DataFrame, share_classes: DataFrame) -> DataFrame:
    """Of the remaining share classes of one issuer, keep the one with the largest weight in the fund.

    Columns in: `judged` has as_of_date, ticker, holding_percent, exclusion, any others; `share_classes` as in
        `with_exclusion`. Columns out: those of `judged`.
    """
    classes = share_classes.withColumnRenamed("ticker", "class_ticker")
    is_class = F.col("ticker") == F.col("class_ticker")
    is_valid = (F.col("valid_from") <= F.col("as_of_date")) & (F.col("as_of_date") < F.col("valid_to"))
    with_issuer = judged.join(F.broadcast(classes), on=is_class & is_valid, how="left")

    heaviest_first = (
        Window.partitionBy("as_of_date", "issuer", F.col("exclusion").isNull())
        .orderBy(F.desc_nulls_last("holding_percent"), "ticker")
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    is_second = F.col("issuer").isNotNull() & (F.row_number().over(heaviest_first) > 1)
    kept_class = F.format_string("%s is held through %s", "issuer", F.first("ticker").over(heaviest_first))
    duplicate = F.when(is_second, _exclusion("duplicate_issuer", kept_class))
    return _exclude(with_issuer, duplicate).drop("class_ticker", "issuer", "valid_from", "valid_to")


def with_below_top_n(judged: DataFrame, return_column: str, sessions: int, *, top_n: int) -> DataFrame:
    """Of the remaining stocks of a sector, keep the `top_n` with the highest returns over `sessions`.

    Columns in: as_of_date, ticker, etf_ticker, sector, exclusion, the return, any others. Columns out: the same.
    """
    best_first = Window.partitionBy("as_of_date", "etf_ticker", F.col("exclusion").isNull()).orderBy(
        F.desc(return_column), "ticker"
    )
    place = F.row_number().over(best_first)
    detail = F.format_string(
        f"number %s of the candidates of %s by {sessions}-session return; at most {top_n} are held",
        place,
        "sector",
    )
    below = F.when(place > top_n, _exclusion("below_top_n", detail))
    return _exclude(judged, below)


def _exclude(judged: DataFrame, exclusion: Column) -> DataFrame:
    return judged.withColumn("exclusion", F.coalesce("exclusion", exclusion))


def _exclusion(reason: str, detail: Column) -> Column:
    return F.struct(F.lit(reason).alias("reason"), detail.alias("detail"))
