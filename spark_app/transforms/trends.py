"""Trends of sectors: a sector trends if its fund returned more than the benchmark, and more than 0."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_app.schemas import TRENDING_SECTORS
from spark_app.transforms.returns import UnavailableCode, session_returns
from spark_app.transforms.serving import served_columns
from spark_app.universe import DEFAULT_UNIVERSE, PERIODS, Universe


def sector_trends(
    bars: DataFrame,
    sessions: DataFrame,
    as_of_dates: DataFrame,
    *,
    periods: Sequence[int] = PERIODS,
    universe: Universe = DEFAULT_UNIVERSE,
) -> DataFrame:
    """Compare the returns of each sector fund and the benchmark over each period.

    Columns in: `bars` has ticker, trade_date, adj_close_price of the funds, unique per (ticker, trade_date).
    Columns out: those of schemas.SECTOR_TRENDS; one row per as-of date, sector and period. unavailable_code is
        benchmark_unavailable where the benchmark has no return; benchmark_unavailable_code says why it has none. Of a
        fund that was not listed yet the reason is its first session: unavailable, which is not the same as not
        trending.

    Args:
        sessions: trade_date, session_number, as `session_returns` wants them.
        as_of_dates: as_of_date; only sessions.
        periods: in sessions of the universe.
    """
    fund = F.explode(F.array(*[F.lit(ticker) for ticker in universe.tickers]))
    asked = as_of_dates.select("as_of_date", fund.alias("ticker")).withColumn("listed_date", _listed_date(universe))
    returns = session_returns(asked, bars, sessions, periods=periods, is_sorted=True)
    with_benchmark = returns.transform(_with_benchmark, universe.benchmark)
    compared = with_benchmark.where(F.col("ticker") != universe.benchmark)
    is_trending = (F.col("return_pct") > F.col("benchmark_return_pct")) & (F.col("return_pct") > 0)
    return (
        compared.withColumn("etf_ticker", F.col("ticker"))
        .withColumn("sector_name", sector_name(F.col("ticker"), universe))
        .withColumn("is_trending", F.coalesce(is_trending, F.lit(False)))
        .withColumn("rank", rank_by_return("return_pct", "as_of_date", "period_days"))
        .selectExpr(*served_columns(TRENDING_SECTORS), "unavailable_code", "benchmark_unavailable_code")
    )


def sector_name(etf_ticker: Column, universe: Universe = DEFAULT_UNIVERSE) -> Column:
    """Return the sector of a fund of the universe, null for any other ticker."""
    names = F.create_map(*[F.lit(text) for pair in universe.sectors.items() for text in pair])
    return names[etf_ticker]


def _listed_date(universe: Universe) -> Column:
    """The first session of a ticker, null where it is unknown."""
    days = [F.lit(part) for ticker, day in universe.first_sessions.items() for part in (ticker, day)]
    return F.create_map(*days)[F.col("ticker")] if days else F.lit(None).cast("date")


def rank_by_return(return_column: str, *group: str) -> Column:
    """Rank the rows of a group by return: 1 is the highest, ties by ticker, no gaps; null without a return."""
    best_first = Window.partitionBy(*group).orderBy(F.desc_nulls_last(return_column), "ticker")
    return F.when(F.col(return_column).isNotNull(), F.row_number().over(best_first))


def _with_benchmark(returns: DataFrame, benchmark: str) -> DataFrame:
    """Add benchmark_return_pct; where the benchmark has no return, the fund's is unavailable as well."""
    same_span = Window.partitionBy("as_of_date", "period_days")
    is_benchmark = F.col("ticker") == benchmark
    benchmark_return = F.max(F.when(is_benchmark, F.col("return_pct"))).over(same_span)
    benchmark_code = F.max(F.when(is_benchmark, F.col("unavailable_code"))).over(same_span)
    benchmark_reason = F.max(F.when(is_benchmark, F.col("unavailable_reason"))).over(same_span)
    is_comparable = benchmark_code.isNull()
    code = F.when(is_comparable, F.col("unavailable_code")).otherwise(UnavailableCode.BENCHMARK_UNAVAILABLE.value)
    reason = F.coalesce(F.concat(F.lit(f"{benchmark}: "), benchmark_reason), F.col("unavailable_reason"))
    return returns.select(
        "as_of_date",
        "ticker",
        "period_days",
        F.when(is_comparable, F.col("return_pct")).alias("return_pct"),
        benchmark_return.alias("benchmark_return_pct"),
        code.alias("unavailable_code"),
        reason.alias("unavailable_reason"),
        benchmark_code.alias("benchmark_unavailable_code"),
    )
