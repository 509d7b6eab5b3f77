"""Portfolio weights by market cap, exact to the last stored digit.

Everything is whole numbers: weights are counted in units of 1e-8, market caps in dollars, and both
stay far below the 38 digits of Spark's decimals.
"""

from __future__ import annotations

from decimal import Decimal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_app.schemas import PORTFOLIO_WEIGHT

_WHOLE = "decimal(38,0)"
UNITS = 10**PORTFOLIO_WEIGHT.scale
"""Units in a weight of 1."""
_UNIT = Decimal(1) / UNITS


def with_portfolio_weight(positions: DataFrame, *, max_weight: Decimal | None = None) -> DataFrame:
    """Add each position's share of the market cap of its date; per date they sum to exactly 1.

    Fractions of a unit go to the largest remainders, equal ones by ticker. With `max_weight` (a fraction, no
    finer than 1e-8) the excess is shared out in proportion among those below it, again until none exceeds it.

    Columns in: as_of_date, ticker, market_cap (positive), any others; unique per (as_of_date, ticker).
    Columns out: those of `positions`, portfolio_weight DECIMAL(9,8), a fraction; null on dates with too few
        positions for `max_weight`.
    """
    limit = UNITS if max_weight is None else int(max_weight * UNITS)
    of_date = Window.partitionBy("as_of_date")
    largest_remainder = of_date.orderBy(F.desc("remainder"), "ticker")

    shared = _with_units(positions, limit)
    left_over = UNITS - F.sum("units").over(of_date)
    gets_one_more = F.row_number().over(largest_remainder) <= left_over
    units = F.col("units") + F.when(gets_one_more, 1).otherwise(0)
    is_feasible = F.count("*").over(of_date) * limit >= UNITS
    weight = F.when(is_feasible, units.cast("decimal(9,0)") * F.lit(_UNIT)).cast(PORTFOLIO_WEIGHT)
    return shared.select(*positions.columns, weight.alias("portfolio_weight"))


def _with_units(positions: DataFrame, limit: int) -> DataFrame:
    """Add whole units, rounded down, and the remainder of that division (comparable within a date)."""
    of_date = Window.partitionBy("as_of_date")
    at_limit = F.col("is_at_limit")
    free_cap = F.nullif(F.sum(F.when(~at_limit, _cap())).over(of_date), F.lit(Decimal(0)))
    free_units = UNITS - F.count_if(at_limit).over(of_date) * limit
    share = _cap() * _whole(free_units)
    whole_units = F.when(at_limit, limit).otherwise(F.call_function("div", share, free_cap))
    return (
        _with_is_at_limit(positions, limit)
        .withColumn("units", whole_units)
        .withColumn("remainder", F.when(at_limit, F.lit(Decimal(0))).otherwise(share % free_cap))
    )


def _with_is_at_limit(positions: DataFrame, limit: int) -> DataFrame:
    """Mark the positions that end at the limit, without sharing out round by round.

    A position ends there if its part of what the larger ones leave over, were they all held at the limit, exceeds
    it. Once one does not, no smaller one does: its cap is smaller, and what is left over per dollar does not grow.
    """
    largest_first = (
        Window.partitionBy("as_of_date")
        .orderBy(F.desc("market_cap"), "ticker")
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    cap_from_here = F.sum(_cap()).over(Window.partitionBy("as_of_date")) - F.sum(_cap()).over(largest_first) + _cap()
    larger_positions = (F.row_number().over(largest_first) - 1).cast("bigint")
    units_from_here = UNITS - larger_positions * limit
    exceeds = _cap() * _whole(units_from_here) > cap_from_here * _whole(F.lit(limit))
    return positions.withColumn("is_at_limit", exceeds)


def _cap() -> Column:
    return _whole(F.col("market_cap"))


def _whole(number: Column) -> Column:
    return number.cast(_WHOLE)
