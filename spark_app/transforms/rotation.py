"""Which funds a rotation holds on each date, and at which target weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_app.transforms.prices import usable_price
from spark_app.transforms.trends import rank_by_return
from spark_app.transforms.weights import with_portfolio_weight

VOLATILITY_SESSIONS = 60
"""Returns whose standard deviation is a fund's volatility."""

_DIGITS = 1e15
"""An inverse volatility as a whole number: more digits than a weight has, few enough for exact products."""


@dataclass(frozen=True)
class SectorChoice:
    """How funds are chosen.

    Attributes:
        basis: the period whose trends count, in sessions.
        rank_periods: the periods whose mean return ranks the funds.
        top_n: largest number of funds.
        is_trend_required: only funds that trend over the basis.
    """

    basis: int = 20
    rank_periods: tuple[int, ...] = (20,)
    top_n: int = 3
    is_trend_required: bool = True

    @property
    def periods(self) -> tuple[int, ...]:
        """All periods that are looked at, in order."""
        return tuple(sorted({self.basis, *self.rank_periods}))


def chosen_sectors(sector_trends: DataFrame, choices: Sequence[SectorChoice]) -> DataFrame:
    """Choose the funds of each date, by each of several rules at once.

    Columns in: schemas.SECTOR_TRENDS, with the periods of all choices.
    Columns out: choice_number (place in `choices`), as_of_date, ticker, is_comparable (the benchmark has a return over
        all periods of the choice; without one nothing is traded), is_chosen; one row per choice, date and fund.
        Funds with equal returns are chosen by ticker.
    """
    rules = F.explode(F.array(*[_rule(number, choice) for number, choice in enumerate(choices)])).alias("rule")
    looked_at = sector_trends.select("*", rules).where(F.array_contains("rule.periods", F.col("period_days")))
    ranked_return = F.when(F.array_contains("rule.rank_periods", F.col("period_days")), F.col("return_pct"))
    is_basis = F.col("period_days") == F.col("rule.basis")
    # The sum ranks as the mean does, and is exact.
    number, ticker = F.col("rule.number").alias("choice_number"), F.col("etf_ticker").alias("ticker")
    funds = looked_at.groupBy(number, "as_of_date", ticker).agg(
        F.bool_and(F.col("benchmark_unavailable_code").isNull()).alias("is_comparable"),
        F.bool_or(is_basis & F.col("is_trending")).alias("is_trending"),
        F.count(ranked_return).alias("known_periods"),
        F.sum(ranked_return).alias("summed_return"),
        # The same for all rows of a choice.
        F.max(F.size("rule.rank_periods")).alias("rank_periods"),
        F.bool_or("rule.is_trend_required").alias("is_trend_required"),
        F.max("rule.top_n").alias("top_n"),
    )
    has_returns = F.col("is_comparable") & (F.col("known_periods") == F.col("rank_periods"))
    is_candidate = has_returns & (F.col("is_trending") | ~F.col("is_trend_required"))
    candidates = funds.withColumn("candidate_return", F.when(is_candidate, F.col("summed_return")))
    rank = rank_by_return("candidate_return", "choice_number", "as_of_date")
    is_chosen = F.coalesce(rank <= F.col("top_n"), F.lit(False))
    return candidates.withColumn("is_chosen", is_chosen).select(
        "choice_number", "as_of_date", "ticker", "is_comparable", "is_chosen"
    )


def _rule(number: int, choice: SectorChoice) -> Column:
    return F.struct(
        F.lit(number).alias("number"),
        F.lit(choice.basis).alias("basis"),
        F.array(*map(F.lit, choice.periods)).alias("periods"),
        F.array(*map(F.lit, choice.rank_periods)).alias("rank_periods"),
        F.lit(choice.top_n).alias("top_n"),
        F.lit(choice.is_trend_required).alias("is_trend_required"),
    )


def target_weights(
    positions: DataFrame, weighting: str, bars: DataFrame, sessions: DataFrame, *, max_weight: Decimal | None = None
) -> DataFrame:
    """Weight positions equally, by market cap, or in inverse proportion to their volatility.

    Columns in: `positions` has choice_number, as_of_date, ticker, and market_cap (positive) for that weighting; `bars`
        and `sessions` as for `with_inverse_volatility`.
    Columns out: as of `with_target_weight`; with inverse volatility a position without it is left out.

    Args: weighting: equal, market_cap or inverse_volatility.
    """
    share = F.col("market_cap") if weighting == "market_cap" else F.lit(1)
    if weighting == "inverse_volatility":
        positions, share = with_inverse_volatility(positions, bars, sessions), F.col("inverse_volatility")
    return with_target_weight(positions, share, max_weight=max_weight)


def with_target_weight(positions: DataFrame, share: Column, *, max_weight: Decimal | None = None) -> DataFrame:
    """Weight positions in proportion to `share`; the weights of a choice and date sum to exactly 1.

    Columns in: choice_number, as_of_date, ticker and what `share` (positive, a whole number) uses; unique per
        (choice_number, as_of_date, ticker).
    Columns out: those of `positions`, target_weight DECIMAL(9,8), rounded by the largest remainder.
    """
    key = ("choice_number", "as_of_date")
    weighted = with_portfolio_weight(positions.withColumn("market_cap", share), max_weight=max_weight, group=key)
    return weighted.select(*positions.columns, F.col("portfolio_weight").alias("target_weight"))


def with_inverse_volatility(positions: DataFrame, bars: DataFrame, sessions: DataFrame) -> DataFrame:
    """Keep the positions whose volatility is known, and add a share in inverse proportion to it.

    Columns in: `positions` has as_of_date, ticker, any others; `bars` has ticker, trade_date, adj_close_price;
        `sessions` has trade_date, session_number (dense, increasing), from 60 sessions before the first date on.
    Columns out: those of `positions`, inverse_volatility (a whole number). Volatility is the sample standard deviation
        of the last 60 returns from session to session; without all of them, or at 0, a fund is no position.
    """
    by_session = Window.partitionBy("ticker").orderBy("session_number")
    price = usable_price(F.col("adj_close_price"))
    numbered = bars.join(F.broadcast(sessions), on="trade_date", how="inner")
    before = F.max(price).over(by_session.rangeBetween(-1, -1))
    returns = numbered.withColumn("session_return", price / before - 1)
    last_returns = by_session.rangeBetween(1 - VOLATILITY_SESSIONS, 0)
    deviation = F.stddev_samp("session_return").over(last_returns)
    is_known = F.count("session_return").over(last_returns) == VOLATILITY_SESSIONS
    volatilities = returns.select(
        "ticker",
        F.col("trade_date").alias("as_of_date"),
        F.when(is_known & (deviation > 0), deviation).alias("deviation"),
    )
    known = positions.join(volatilities, on=["ticker", "as_of_date"], how="inner").where(F.col("deviation").isNotNull())
    share = F.round(_DIGITS / F.col("deviation")).cast("decimal(25,0)")
    return known.withColumn("inverse_volatility", share).select(*positions.columns, "inverse_volatility")


def rank_periods_of(basis: int, given: Sequence[int]) -> tuple[int, ...]:
    """The periods that rank: those that are given, else the basis alone."""
    return tuple(sorted(set(given))) or (basis,)
