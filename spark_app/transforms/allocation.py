"""The portfolio of each date: members of trending sectors that returned more than the sector's fund, by market cap."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_app.schemas import PORTFOLIO_ALLOCATION, PORTFOLIO_EXCLUSION
from spark_app.transforms.exclusions import with_exclusion
from spark_app.transforms.market_caps import with_market_cap
from spark_app.transforms.options import PortfolioOptions
from spark_app.transforms.point_in_time import is_look_ahead
from spark_app.transforms.returns import session_returns
from spark_app.transforms.serving import served_columns
from spark_app.transforms.stock_trends import stock_trends
from spark_app.transforms.weights import with_portfolio_weight


@dataclass(frozen=True)
class MarketFrames:
    """The inputs of a portfolio: current rows of staging, the calendar and the table of share classes.

    Attributes:
        bars: schemas.BARS of stocks, also those after the as-of dates (for later splits); as `with_measured_splits`
            gives them.
        memberships: schemas.MEMBERSHIPS, as `sector_memberships` gives them.
        quotes: schemas.QUOTES.
        sessions: trade_date, session_number, as `session_returns` wants them.
        share_classes: ticker, issuer, valid_from, valid_to (exclusive).
    """

    bars: DataFrame
    memberships: DataFrame
    quotes: DataFrame
    sessions: DataFrame
    share_classes: DataFrame


def portfolio_decisions(market: MarketFrames, sector_trends: DataFrame, options: PortfolioOptions) -> DataFrame:
    """Decide on every member of the sectors that trend over the basis period.

    Columns in: `sector_trends` as the function of that name gives them for the dates of the memberships.
    Columns out: the universe with its market caps, returns, trends and exclusion; see `with_exclusion`. Both served
        tables come from it: persist it while they are written.
    """
    return (
        filter_universe(market.memberships, sector_trends, options)
        .transform(with_market_cap, market.quotes, market.bars)
        .transform(session_returns, market.bars, market.sessions)
        .transform(stock_trends, sector_trends)
        .transform(with_exclusion, market.share_classes, options)
    )


def filter_universe(memberships: DataFrame, sector_trends: DataFrame, options: PortfolioOptions) -> DataFrame:
    """Keep the members of the sectors that trend over the basis period.

    Columns in: as_of_date, etf_ticker, any others. Columns out: the same.
    """
    is_basis = F.col("period_days") == options.basis_sessions
    trending = sector_trends.where(is_basis & F.col("is_trending")).select("as_of_date", "etf_ticker")
    return memberships.join(F.broadcast(trending), on=["as_of_date", "etf_ticker"], how="left_semi")


def portfolio_positions(decisions: DataFrame, options: PortfolioOptions) -> DataFrame:
    """Weight the positions: the members without an exclusion.

    Columns in: those of `portfolio_decisions`.
    Columns out: those of schemas.PORTFOLIO_ALLOCATION less run_id. portfolio_weight sums to exactly 1 per date.
    """
    positions = decisions.where(F.col("exclusion").isNull()).withColumnRenamed("snapshot_date", "holdings_date")
    # The membership's flag is of its snapshot alone.
    look_ahead = is_look_ahead("holdings_date") | is_look_ahead("quote_date")
    return (
        with_portfolio_weight(positions, max_weight=options.max_weight)
        .withColumn("allocation_reason", F.concat(_allocation_reason(options.basis_sessions), _limit_reason(options)))
        .withColumn("is_look_ahead", look_ahead)
        .selectExpr(*served_columns(PORTFOLIO_ALLOCATION))
    )


def portfolio_exclusions(decisions: DataFrame) -> DataFrame:
    """List the exclusions.

    Columns in: those of `portfolio_decisions`.
    Columns out: those of schemas.PORTFOLIO_EXCLUSION less run_id. is_look_ahead is of the fund's snapshot: a look-ahead
        quote excludes no stock.
    """
    excluded = decisions.where(F.col("exclusion").isNotNull()).withColumnRenamed("snapshot_date", "holdings_date")
    return excluded.select("*", "exclusion.*").selectExpr(*served_columns(PORTFOLIO_EXCLUSION))


def _allocation_reason(basis_sessions: int) -> Column:
    basis = f"{basis_sessions}d"
    return F.format_string(
        f"%s trends over {basis_sessions} sessions; %s returned %s %% against %s %% of %s, rank %s in its sector",
        "sector",
        "ticker",
        F.col(f"return_{basis}").cast("string"),
        F.col(f"sector_avg_{basis}").cast("string"),
        "etf_ticker",
        F.col(f"rank_{basis}").cast("string"),
    )


def _limit_reason(options: PortfolioOptions) -> Column:
    told = f"; too few positions for a largest weight of {options.max_weight}, so all weights are equal"
    return F.when(F.col("is_max_weight_exceeded"), told).otherwise("")
