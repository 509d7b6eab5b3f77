"""Returns over N sessions of the exchange calendar, for any number of dates in one pass."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_app.schemas import PERCENT
from spark_app.transforms.prices import change_percent, usable_price
from spark_app.universe import PERIODS

_PERIOD_BITS, _RETURN_BITS = 12, 35
_ZERO = 2**34
"""What a return of 0 is in the bits of a return."""


class UnavailableCode(enum.StrEnum):
    """Why a period has no return; what code decides on, where `unavailable_reason` is the sentence for people."""

    NOT_LISTED = "not_listed"
    """Only where `asked` has listed_date."""
    NO_BAR_AT_END = "no_bar_at_end"
    NO_USABLE_PRICE_AT_END = "no_usable_price_at_end"
    TOO_FEW_SESSIONS = "too_few_sessions"
    NO_BAR_AT_START = "no_bar_at_start"
    NO_USABLE_PRICE_AT_START = "no_usable_price_at_start"
    TOO_LARGE = "too_large"
    BENCHMARK_UNAVAILABLE = "benchmark_unavailable"
    """Only in `sector_trends`: the benchmark has no return over the period."""


def session_returns(
    asked: DataFrame,
    bars: DataFrame,
    sessions: DataFrame,
    *,
    periods: Sequence[int] = PERIODS,
    is_sorted: bool = False,
) -> DataFrame:
    """Compute the return of the adjusted close from exactly N sessions before each asked session to that session.

    Columns in: `asked` has ticker, as_of_date (a session) and any others, unique per (ticker, as_of_date), with
        listed_date the first session of the ticker, null where it is unknown;
        `bars` has ticker, trade_date, adj_close_price, unique per (ticker, trade_date).
    Columns out: those of `asked`, period_days (sessions), return_pct DECIMAL(14,6), unavailable_code (an
        UnavailableCode) and unavailable_reason (a sentence), both null where there is a return; one row per asked row
        and period, also without a bar. The rows of a date are in one partition.

    Args:
        sessions: trade_date, session_number (dense, increasing), from the longest period before the first asked
            session to the last asked one; bars on other dates are ignored.
        is_sorted: whether the rows of each date and period come nearly in the order in which `rank_by_return` ranks
            them. Sorting by one number is several times faster than by the four columns of a rank's window; the window
            then finds its rows almost in order. It sorts by all digits, so ranks do not depend on this. The prices that
            the rows are sorted by are not among the columns out.

    Source: total returns, for Yahoo's adjusted closes contain splits and dividends.
    """
    prices = prices_by_ticker(bars, sessions)
    return returns_from_prices(asked, prices, sessions, periods=periods, is_sorted=is_sorted)


def returns_from_prices(
    asked: DataFrame,
    prices: DataFrame,
    sessions: DataFrame,
    *,
    periods: Sequence[int] = PERIODS,
    is_sorted: bool = False,
) -> DataFrame:
    """Do what `session_returns` does, with prices that are used several times.

    Columns in: `prices` as `prices_by_ticker` gives them for the same sessions. Columns out: those of
        `session_returns`.
    """
    end, start = F.col("end_price"), F.col("start_price")
    return_pct = change_percent(end, start)
    too_few_sessions = F.format_string("fewer than %s sessions before %s", "period_days", _text("as_of_date"))
    is_too_large, too_large = return_pct.isNull(), F.lit("the return is too large to be stored")
    unavailable = F.coalesce(
        *([_not_listed(start, end)] if "listed_date" in asked.columns else []),
        _unavailable(UnavailableCode.NO_BAR_AT_END, end.isNull(), _on("no bar", "as_of_date")),
        _unavailable(UnavailableCode.NO_USABLE_PRICE_AT_END, F.isnan(end), _on("no usable price", "as_of_date")),
        _unavailable(UnavailableCode.TOO_FEW_SESSIONS, F.col("start_date").isNull(), too_few_sessions),
        _unavailable(UnavailableCode.NO_BAR_AT_START, start.isNull(), _on("no bar", "start_date")),
        _unavailable(UnavailableCode.NO_USABLE_PRICE_AT_START, F.isnan(start), _on("no usable price", "start_date")),
        _unavailable(UnavailableCode.TOO_LARGE, is_too_large, too_large),
    )
    end_points = _end_point_prices(asked, prices, sessions, periods)
    if is_sorted:
        end_points = end_points.sortWithinPartitions(_from_the_best(end, start))
    return end_points.withColumn("unavailable", unavailable).select(
        *asked.columns,
        "period_days",
        return_pct.alias("return_pct"),
        F.col("unavailable.code").alias("unavailable_code"),
        F.col("unavailable.reason").alias("unavailable_reason"),
    )


def _end_point_prices(asked: DataFrame, prices: DataFrame, sessions: DataFrame, periods: Sequence[int]) -> DataFrame:
    """Make a row of each asked row and period, with start_date, end_price and start_price.

    A price is null without a bar, NaN where it is unusable.
    """
    # A join on ticker looks all prices up by their place in an array. Windows and joins by session sort every bar, or
    # hash every one several times.
    numbered = _with_session_number(asked, "as_of_date", sessions)
    priced = numbered.join(prices.hint("shuffle_hash"), on="ticker", how="left")

    def price_before(period: int) -> Column:
        return F.get("prices", F.col("session_number") - period - F.col("first_number")).alias(f"price_{period}")

    # Brought together by date before the periods make rows of their own, which are three times as many.
    by_date = priced.select(*asked.columns, *map(price_before, [0, *periods])).repartition("as_of_date")
    dated = by_date.join(F.broadcast(_start_dates(sessions, periods)), on=_is_same_date("as_of_date", "end_date"))
    starts = [
        F.struct(
            F.lit(n).alias("period_days"),
            F.col(f"start_{n}").alias("start_date"),
            F.col(f"price_{n}").alias("start_price"),
        )
        for n in periods
    ]
    return dated.select(*asked.columns, F.col("price_0").alias("end_price"), F.inline(F.array(*starts)))


def _from_the_best(end: Column, start: Column) -> Column:
    """Number the rows of a date and period, the highest return first, those without one last.

    Returns that differ by less than a unit of the last decimal share a number, as do all from 17,179 percent on.
    """
    # Shifts and doubles: Spark checks every sum and product of whole numbers for an overflow.
    units = (end / start - 1) * (100 * 10**PERCENT.scale)
    number = (
        F.when(units < _ZERO, (_ZERO - units).cast("bigint"))
        .when(units < 10.0**PERCENT.precision, F.lit(0))
        .otherwise(F.lit(2 * _ZERO - 1))
    )
    span = F.shiftleft(F.unix_date("as_of_date").cast("bigint"), _PERIOD_BITS).bitwiseOR(F.col("period_days"))
    return F.shiftleft(span, _RETURN_BITS).bitwiseOR(number)


def prices_by_ticker(bars: DataFrame, sessions: DataFrame) -> DataFrame:
    """Collect the adjusted closes of each ticker into an array.

    Columns in: as for `session_returns`.
    Columns out: ticker, first_number (of the session of its first bar), prices: an element for each session from there
        on to the last bar, null without a bar, NaN for an unusable price.
    """
    price = F.coalesce(usable_price(F.col("adj_close_price")), F.lit(float("nan")))
    lists = F.collect_list("session_number").alias("numbers"), F.collect_list(price).alias("prices")
    collected = _with_session_number(bars, "trade_date", sessions).groupBy("ticker").agg(*lists)
    every_session = F.sequence(F.array_min("numbers"), F.array_max("numbers"))
    # The order of a collected list is that of the rows read. `arrays_zip` fills the shorter array with nulls.
    missing = F.array_except(every_session, F.col("numbers"))
    in_order = F.array_sort(F.arrays_zip(F.concat("numbers", missing).alias("number"), F.col("prices").alias("price")))
    is_in_order = F.col("numbers") == every_session
    return collected.select(
        "ticker",
        F.array_min("numbers").alias("first_number"),
        F.when(is_in_order, F.col("prices")).otherwise(in_order["price"]).alias("prices"),
    )


def _with_session_number(rows: DataFrame, date: str, sessions: DataFrame) -> DataFrame:
    """Add session_number to the rows whose date is one of `sessions`; the others go."""
    numbers = F.broadcast(sessions.select(F.col("trade_date").alias("session_date"), "session_number"))
    return rows.join(numbers, on=_is_same_date(date, "session_date"), how="inner")


def _start_dates(sessions: DataFrame, periods: Sequence[int]) -> DataFrame:
    """Find for each session, as end_date, the date of N sessions before as start_N, null if there is none."""
    # A partition of one value: Spark warns where a window has none.
    by_number = Window.partitionBy(F.lit(0)).orderBy("session_number")
    starts = [F.lag("trade_date", period).over(by_number).alias(f"start_{period}") for period in periods]
    return sessions.select(F.col("trade_date").alias("end_date"), *starts)


def _is_same_date(date: str, other: str) -> Column:
    # As whole numbers, which Spark looks up without hashing.
    return F.unix_date(date) == F.unix_date(other)


def _not_listed(start: Column, end: Column) -> Column:
    """Name the first session of a ticker whose missing bar is of a session before."""
    listed = F.col("listed_date")
    is_end_before, is_start_before = F.col("as_of_date") < listed, F.col("start_date") < listed
    is_before = (end.isNull() & is_end_before) | (start.isNull() & is_start_before)
    return _unavailable(UnavailableCode.NOT_LISTED, is_before, F.format_string("listed since %s", _text("listed_date")))


def _unavailable(code: UnavailableCode, condition: Column, reason: Column) -> Column:
    return F.when(condition, F.struct(F.lit(code.value).alias("code"), reason.alias("reason")))


def _on(what: str, date_column: str) -> Column:
    return F.format_string(f"{what} on %s", _text(date_column))


def _text(date_column: str) -> Column:
    return F.col(date_column).cast("string")
