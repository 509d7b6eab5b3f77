"""Rules for bars: defects of a single bar, and the change of the close since the previous session."""

from __future__ import annotations

import functools

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_app.schemas import ETF_OHLC, PERCENT, PRICE
from spark_app.transforms.serving import served_columns

_PRICES = ("open_price", "high_price", "low_price", "close_price", "adj_close_price")
_UNITS = 10.0**PERCENT.scale
# Up to here the error of `percent * _UNITS` in double precision is below 0.0005, so 0.499 is on one side of 0.5.
_EXACT_UNITS, _CLEAR = 1e12, 0.499
_PRICE_LIMIT = 10.0 ** (PRICE.precision - PRICE.scale)


def is_finite(value: Column) -> Column:
    """Whether a double is a finite number: false for null, NaN and both infinities."""
    return F.coalesce(F.abs(value) < float("inf"), F.lit(False))


def usable_price(price: Column) -> Column:
    """Return the price, or null where it is null, not finite or not positive."""
    return F.when(is_finite(price) & (price > 0), price)


def change_percent(end: Column, start: Column) -> Column:
    """Return the change from `start` to `end` in percent, as DECIMAL(14,6), rounded half up.

    What is rounded is the shortest decimal that reads as the double, as in Spark's own cast. Null where either end is
    null or NaN, or the change does not fit the type. `start` must not be 0.
    """
    percent = (end / start - 1) * 100
    # Spark's cast writes each double as text and reads it again. Where the double is not near the middle between two
    # decimals, the nearest whole number of units is the same value; an interval makes a decimal of it without division.
    units = percent * _UNITS
    nearest = F.rint(units)
    is_clear = (F.abs(units - nearest) < _CLEAR) & (F.abs(nearest) < _EXACT_UNITS)
    unit = F.expr("INTERVAL '0.000001' SECOND")
    return F.when(is_clear, (unit * nearest.cast("bigint")).cast(PERCENT)).otherwise(percent.try_cast(PERCENT))


def with_price_change(bars: DataFrame, sessions: DataFrame) -> DataFrame:
    """Add the change of the close since the previous session, in percent.

    Columns in: ticker, trade_date, close_price; unique per (ticker, trade_date).
    Columns out: those of `bars`, price_change_percent (null where the previous session has no usable close).

    Args:
        sessions: trade_date, session_number (dense, increasing).
    """
    by_session = Window.partitionBy("ticker").orderBy("session_number")
    close = usable_price(F.col("close_price"))
    is_next_session = F.col("session_number") == F.lag("session_number").over(by_session) + 1
    change = F.when(is_next_session, change_percent(close, F.lag(close).over(by_session)))
    numbered_bars = bars.join(F.broadcast(sessions), on="trade_date", how="left")
    return numbered_bars.select(*bars.columns, change.alias("price_change_percent"))


def daily_prices(bars: DataFrame, sessions: DataFrame) -> DataFrame:
    """Turn current bars into rows of the served price tables.

    Columns in: ticker, BAR, fetched_at; without a defect, unique per (ticker, trade_date).
    Columns out: those of schemas.ETF_OHLC less run_id; without the bars of files that have closes only.
    """
    is_whole = functools.reduce(Column.__and__, [F.col(name).isNotNull() for name in (*_PRICES, "volume")])
    return with_price_change(bars, sessions).where(is_whole).selectExpr(*served_columns(ETF_OHLC))


def bar_defect() -> Column:
    """Return the defect of a bar as a text, null for a bar without one.

    Columns in: the five prices, volume, dividend, split_ratio.
    Zero volume, an open outside [low, high] and a price outlier are not defects.
    """
    price_defects = [_price_defect(name) for name in _PRICES]
    dividend, split_ratio = F.col("dividend"), F.col("split_ratio")
    is_upside_down = F.col("high_price") < F.col("low_price")
    return F.coalesce(
        *price_defects,
        F.when(is_upside_down, "high_price is below low_price"),
        F.when(F.col("volume").isNull(), "volume is null").when(F.col("volume") < 0, "volume is negative"),
        F.when(~(is_finite(dividend) & (dividend >= 0)), "dividend is not a number from 0 on"),
        F.when(~(is_finite(split_ratio) & (_as_stored(split_ratio) > 0)), "split_ratio is not positive"),
        *(_too_large(name) for name in ("dividend", "split_ratio")),
    )


def with_bar_defect(bars: DataFrame, sessions: DataFrame) -> DataFrame:
    """Add the defect of each bar, its date included.

    Columns in: ticker, BAR.
    Columns out: those of `bars`, defect (a text, null for a bar without one).

    Args:
        sessions: trade_date of every session that a bar may have: no holidays, nothing after the last completed one.
    """
    known = sessions.select("trade_date", F.lit(True).alias("is_session"))
    checked_bars = bars.join(F.broadcast(known), on="trade_date", how="left")
    no_date = F.when(F.col("trade_date").isNull(), "trade_date is null")
    stray_date = F.format_string("%s is not a completed session", F.col("trade_date").cast("string"))
    no_session = F.when(F.col("is_session").isNull(), stray_date)
    return checked_bars.select(*bars.columns, F.coalesce(no_date, no_session, bar_defect()).alias("defect"))


def _price_defect(name: str) -> Column:
    price = F.col(name)
    return F.coalesce(
        F.when(price.isNull(), f"{name} is null")
        .when(~is_finite(price), f"{name} is not finite")
        .when(_as_stored(price) <= 0, f"{name} is not positive"),
        _too_large(name),
    )


def _too_large(name: str) -> Column:
    return F.when(F.col(name) >= _PRICE_LIMIT, f"{name} is too large to be stored")


def _as_stored(value: Column) -> Column:
    return F.round(value, PRICE.scale)
