from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal
from random import Random

import pytest
from chispa import assert_df_equality
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_app.schemas import BARS, ETF_OHLC
from spark_app.transforms.prices import bar_defect, change_percent, daily_prices, with_bar_defect, with_price_change
from tests.transforms.frames import bars_frame, columns_and_types, frame, served_types, session, sessions_frame

NAN, INF = float("nan"), float("inf")


def test_price_change_compares_with_the_previous_session_only(spark: SparkSession) -> None:
    rows = [
        ("A", session(0), 110.0, None),
        ("A", session(1), 100.0, "-9.090909"),
        ("A", session(2), 110.0, "10.000000"),
        # Session 3 has no bar, so session 4 has nothing to compare with.
        ("A", session(4), 121.0, None),
        ("A", session(5), None, None),
        ("A", session(6), 100.0, None),
        ("A", session(7), NAN, None),
        ("A", session(8), 100.0, None),
        ("A", session(9), 0.0, None),
        ("A", session(10), 3.0, None),
        ("A", session(11), 1.0, "-66.666667"),
        ("B", session(11), 5.0, None),
    ]
    expected_df = frame(
        spark,
        [(t, d, c, None if e is None else Decimal(e)) for t, d, c, e in rows],
        "ticker string, trade_date date, close_price double, price_change_percent decimal(14,6)",
    )
    actual_df = with_price_change(expected_df.drop("price_change_percent"), sessions_frame(spark, 11))
    assert_df_equality(actual_df, expected_df, ignore_row_order=True, ignore_nullable=True, allow_nan_equality=True)


def test_price_change_spans_a_weekend_but_not_a_stray_date(spark: SparkSession) -> None:
    saturday = session(4).replace(day=6)
    bars = [("A", session(4), 100.0), ("A", saturday, 500.0), ("A", session(5), 101.0)]
    input_df = frame(spark, bars, "ticker string, trade_date date, close_price double")
    actual_df = with_price_change(input_df, sessions_frame(spark, 6))
    actual = {row.trade_date: row.price_change_percent for row in actual_df.collect()}
    assert actual == {session(4): None, saturday: None, session(5): Decimal("1.000000")}


def test_daily_prices_have_the_served_columns_rounded_half_up(spark: SparkSession) -> None:
    actual_df = daily_prices(bars_frame(spark, [("XLK", 0, 1.2345675), ("XLK", 1, 2.0)]), sessions_frame(spark, 1))
    assert columns_and_types(actual_df.schema) == served_types(ETF_OHLC)
    actual = {row.trade_date: (row.close_price, row.price_change_percent) for row in actual_df.collect()}
    # 2 / 1.2345675 = 1.62000052...: the change comes from the unrounded price.
    assert actual == {
        session(0): (Decimal("1.234568"), None),
        session(1): (Decimal("2.000000"), Decimal("62.000053")),
    }


def test_daily_prices_of_no_bars_keep_the_schema(spark: SparkSession) -> None:
    actual_df = daily_prices(frame(spark, [], BARS), sessions_frame(spark, 1))
    assert columns_and_types(actual_df.schema) == served_types(ETF_OHLC)
    assert actual_df.collect() == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, None),
        ({"volume": 0}, None),
        ({"open_price": 99.0}, None),
        ({"close_price": 1.0, "adj_close_price": 0.2}, None),
        ({"close_price": None}, "close_price is null"),
        ({"open_price": NAN}, "open_price is not finite"),
        ({"high_price": INF}, "high_price is not finite"),
        ({"low_price": -INF}, "low_price is not finite"),
        ({"adj_close_price": 0.0}, "adj_close_price is not positive"),
        ({"close_price": -5.0}, "close_price is not positive"),
        ({"low_price": 0.0000004}, "low_price is not positive"),
        ({"high_price": 1e12}, "high_price is too large to be stored"),
        ({"high_price": 9.0, "low_price": 9.5}, "high_price is below low_price"),
        ({"volume": None}, "volume is null"),
        ({"volume": -1}, "volume is negative"),
        ({"dividend": -0.1}, "dividend is not a number from 0 on"),
        ({"dividend": NAN}, "dividend is not a number from 0 on"),
        ({"split_ratio": 0.0}, "split_ratio is not positive"),
        ({"split_ratio": None}, "split_ratio is not positive"),
        ({"split_ratio": 0.0000004}, "split_ratio is not positive"),
        ({"split_ratio": 1e12}, "split_ratio is too large to be stored"),
        ({"dividend": 1e12}, "dividend is too large to be stored"),
    ],
)
def test_bar_defect_names_what_is_wrong(spark: SparkSession, change: dict[str, float], expected: str | None) -> None:
    sound = {
        "open_price": 10.0,
        "high_price": 11.0,
        "low_price": 9.0,
        "close_price": 10.5,
        "adj_close_price": 10.1,
        "volume": 7,
        "dividend": 0.0,
        "split_ratio": 1.0,
    }
    columns = "open_price double, high_price double, low_price double, close_price double, adj_close_price double"
    input_df = frame(
        spark, [tuple({**sound, **change}.values())], f"{columns}, volume bigint, dividend double, split_ratio double"
    )
    assert [row[0] for row in input_df.select(bar_defect()).collect()] == [expected]


def test_a_bar_outside_the_sessions_is_defective_and_kept(spark: SparkSession) -> None:
    bars = bars_frame(spark, [("A", 1, 10.0), ("A", 9, 10.0), ("A", 2, -1.0)])
    actual_df = with_bar_defect(bars, sessions_frame(spark, 3))
    actual = {row.trade_date: row.defect for row in actual_df.collect()}
    assert actual == {
        session(1): None,
        session(9): "2023-05-12 is not a completed session",
        session(2): "open_price is not positive",
    }


def test_changes_are_rounded_as_the_decimal_that_the_double_reads_as(spark: SparkSession) -> None:
    random = Random(7)
    ends = [1 + random.uniform(-1, 1) * 10 ** random.randint(-9, 5) for _ in range(3000)]
    # Changes on or next to the middle between two decimals, of either sign, and too large ones.
    halves = [1 + (n + 0.5) * 1e-8 for middle in (0, -9 * 10**7, 10**11) for n in range(middle - 200, middle + 200)]
    ends += [nudged for end in halves for nudged in (end, math.nextafter(end, 0), math.nextafter(end, 1e6))]
    ends += [1e6 - 1e-9, 1e6 + 1, 1e6 + 1.000000005, 1e12, math.nan]
    changes = frame(spark, [(1.0, end) for end in ends], "start double, end double").select(
        "end", change_percent(F.col("end"), F.col("start")).alias("change")
    )
    for row in changes.collect():
        percent = (row.end / 1.0 - 1) * 100
        if math.isnan(percent):
            assert row.change is None
            continue
        rounded = Decimal(repr(percent)).quantize(Decimal("1e-6"), ROUND_HALF_UP)
        assert row.change == (rounded if abs(rounded) < 10**8 else None), row.end
