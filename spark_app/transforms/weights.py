"""Portfolio weights by market cap, exact to the last stored digit.

The arithmetic is in whole numbers: weights in units of 1e-8, market caps in dollars. Their products
are far below the 38 digits of Spark's decimals.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_app.schemas import PORTFOLIO_WEIGHT

_WHOLE = "decimal(38,0)"
UNITS = 10**PORTFOLIO_WEIGHT.scale
"""Units in a weight of 1."""
_UNIT = Decimal(1) / UNITS


def with_portfolio_weight(
    positions: DataFrame, *, max_weight: Decimal | None = None, group: Sequence[str] = ("as_of_date",)
) -> DataFrame:
    """Add each position's share of the total market cap of its date; the weights of a date sum to exactly 1.

    Weights are rounded by the largest remainder method, ties by ticker. With `max_weight` (a fraction with at most 8
    decimals) the excess of the positions above it is distributed among those below it in proportion to their market
    caps, repeatedly until none exceeds it. On a date with too few positions for `max_weight` all weights are equal, the
    smallest excess.

    Columns in: as_of_date, ticker, market_cap (positive), any others; unique per (as_of_date, ticker).
    Columns out: those of `positions`, portfolio_weight DECIMAL(9,8), a fraction; is_max_weight_exceeded, the same for
        all positions of a date.
    """
    limit = UNITS if max_weight is None else int(max_weight * UNITS)
    of_date = Window.partitionBy(*group)
    largest_remainder = of_date.orderBy(F.desc("remainder"), "ticker")

    is_exceeded = F.col("is_max_weight_exceeded")
    judged = (
        positions.withColumn("is_max_weight_exceeded", F.count("*").over(of_date) * limit < UNITS)
        .withColumn("weighted_cap", _whole(F.when(is_exceeded, 1).otherwise(F.col("market_cap"))))
        .withColumn("limit", F.when(is_exceeded, UNITS).otherwise(limit))
    )
    shared = _with_units(judged, group)
    remaining_units = UNITS - F.sum("units").over(of_date)
    gets_one_more = F.row_number().over(largest_remainder) <= remaining_units
    units = F.col("units") + F.when(gets_one_more, 1).otherwise(0)
    weight = (units.cast("decimal(9,0)") * F.lit(_UNIT)).cast(PORTFOLIO_WEIGHT)
    return shared.select(*positions.columns, weight.alias("portfolio_weight"), "is_max_weight_exceeded")


def _with_units(positions: DataFrame, group: Sequence[str]) -> DataFrame:
    """Add whole units, rounded down, and the remainder of that division (comparable within a date).

    Columns in: as_of_date, ticker, weighted_cap, limit (units, the same for all positions of a date), any others.
    """
    of_date = Window.partitionBy(*group)
    at_limit, limit = F.col("is_at_limit"), F.col("limit")
    free_cap = F.nullif(F.sum(F.when(~at_limit, _cap())).over(of_date), F.lit(Decimal(0)))
    free_units = UNITS - F.count_if(at_limit).over(of_date) * limit
    share = _cap() * _whole(free_units)
    whole_units = F.when(at_limit, limit).otherwise(F.call_function("div", share, free_cap))
    return (
        _with_is_at_limit(positions, group)
        .withColumn("units", whole_units)
        .withColumn("remainder", F.when(at_limit, F.lit(Decimal(0))).otherwise(share % free_cap))
    )


def _with_is_at_limit(positions: DataFrame, group: Sequence[str]) -> DataFrame:
    """Mark the positions whose weight is the limit, without distributing the excess round by round.

    With all larger positions at the limit, a position is at it if its share of the remaining units exceeds it. If one
    position does not exceed it, no smaller one does: it has a smaller cap, and the units per dollar do not grow.
    """
    largest_first = (
        Window.partitionBy(*group)
        .orderBy(F.desc("weighted_cap"), "ticker")
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    cap_from_here = F.sum(_cap()).over(Window.partitionBy(*group)) - F.sum(_cap()).over(largest_first) + _cap()
    limit = F.col("limit")
    larger_positions = (F.row_number().over(largest_first) - 1).cast("bigint")
    units_from_here = UNITS - larger_positions * limit
    exceeds = _cap() * _whole(units_from_here) > cap_from_here * _whole(limit)
    return positions.withColumn("is_at_limit", exceeds)


def _cap() -> Column:
    return F.col("weighted_cap")


def _whole(number: Column) -> Column:
    return number.cast(_WHOLE)
