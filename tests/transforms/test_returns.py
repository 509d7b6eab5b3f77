from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pandas as pd
import pytest
from chispa import assert_df_equality
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from spark_app.schemas import BARS
from spark_app.transforms.returns import session_returns
from spark_app.transforms.trends import rank_by_return
from tests.transforms.frames import (
    FEW_EXAMPLES,
    asked_frame,
    bars_frame,
    columns_and_types,
    frame,
    session,
    sessions_frame,
)

NAN = float("nan")
SESSIONS = 25
RESULT = (
    "ticker string, as_of_date date, period_days int, return_pct decimal(14,6),"
    "unavailable_code string, unavailable_reason string"
)


def test_a_fall_is_negative_and_holes_between_do_not_matter(spark: SparkSession) -> None:
    bars = bars_frame(spark, [("A", 0, 80.0), ("A", 10, 110.0), ("A", 12, 900.0), ("A", 15, 100.0), ("A", 20, 100.0)])
    expected_df = frame(
        spark,
        [
            ("A", session(15), 5, Decimal("-9.090909"), None, None),
            ("A", session(20), 5, Decimal("0.000000"), None, None),
            ("A", session(20), 10, Decimal("-9.090909"), None, None),
            ("A", session(20), 20, Decimal("25.000000"), None, None),
            # Session 5 has no bar; 15 - 20 lies before the calendar.
            ("A", session(15), 10, None, "no_bar_at_start", "no bar on 2023-05-08"),
            ("A", session(15), 20, None, "too_few_sessions", "fewer than 20 sessions before 2023-05-22"),
        ],
        RESULT,
    )
    actual_df = session_returns(asked_frame(spark, [("A", 15), ("A", 20)]), bars, sessions_frame(spark, 20))
    assert_df_equality(actual_df, expected_df, ignore_row_order=True, ignore_nullable=True)


@pytest.mark.parametrize(
    ("start", "end", "code", "reason"),
    [
        (10.0, NAN, "no_usable_price_at_end", "no usable price on 2023-05-08"),
        (10.0, None, "no_usable_price_at_end", "no usable price on 2023-05-08"),
        (NAN, 10.0, "no_usable_price_at_start", "no usable price on 2023-05-01"),
        (0.0, 10.0, "no_usable_price_at_start", "no usable price on 2023-05-01"),
        (-3.0, 10.0, "no_usable_price_at_start", "no usable price on 2023-05-01"),
        (float("inf"), 10.0, "no_usable_price_at_start", "no usable price on 2023-05-01"),
        (0.000001, 1000.0, "too_large", "the return is too large to be stored"),
    ],
)
def test_an_unusable_end_point_is_named(
    spark: SparkSession, start: float | None, end: float | None, code: str, reason: str
) -> None:
    bars = bars_frame(spark, [("A", 0, start), ("A", 5, end)])
    actual_df = session_returns(asked_frame(spark, [("A", 5)]), bars, sessions_frame(spark, 5), periods=(5,))
    assert [tuple(row) for row in actual_df.collect()] == [("A", session(5), 5, None, code, reason)]


def test_a_ticker_without_any_bar_has_its_rows(spark: SparkSession) -> None:
    bars = bars_frame(spark, [("OTHER", 0, 10.0), ("OTHER", 5, 11.0)])
    actual_df = session_returns(asked_frame(spark, [("A", 5)]), bars, sessions_frame(spark, 5), periods=(5,))
    assert [tuple(row) for row in actual_df.collect()] == [
        ("A", session(5), 5, None, "no_bar_at_end", "no bar on 2023-05-08")
    ]


def test_returns_round_half_up(spark: SparkSession) -> None:
    # 1.0000000050 / 1 - 1 is a hair under 5e-7 percent in doubles; 8 / 7 - 1 = 14.2857142857 percent.
    bars = bars_frame(spark, [("A", 0, 7.0), ("A", 5, 8.0), ("B", 0, 8.0), ("B", 5, 8.00000004)])
    asked = asked_frame(spark, [("A", 5), ("B", 5)])
    actual_df = session_returns(asked, bars, sessions_frame(spark, 5), periods=(5,))
    actual = {row.ticker: row.return_pct for row in actual_df.collect()}
    assert actual == {"A": Decimal("14.285714"), "B": Decimal("0.000000")}


def test_other_columns_of_the_asked_rows_pass_through(spark: SparkSession) -> None:
    asked = frame(spark, [("A", session(5), "XLK")], "ticker string, as_of_date date, etf_ticker string")
    bars = bars_frame(spark, [("A", 0, 10.0), ("A", 5, 11.0)])
    (row,) = session_returns(asked, bars, sessions_frame(spark, 5), periods=(5,)).collect()
    assert row.asDict() == {
        "ticker": "A",
        "as_of_date": session(5),
        "etf_ticker": "XLK",
        "period_days": 5,
        "return_pct": Decimal("10.000000"),
        "unavailable_code": None,
        "unavailable_reason": None,
    }


def test_many_dates_in_one_pass_equal_each_date_alone(spark: SparkSession) -> None:
    prices = [(t, n, 10.0 + (7 * n + k) % 13) for k, t in enumerate("AB") for n in range(26) if (n + k) % 6]
    bars, sessions = bars_frame(spark, prices), sessions_frame(spark, 25)
    numbers = (20, 21, 25)
    together = session_returns(asked_frame(spark, [(t, n) for t in "AB" for n in numbers]), bars, sessions)
    alone = [
        session_returns(asked_frame(spark, [("A", n), ("B", n)]), bars_frame(spark, known), sessions_frame(spark, n))
        for n in numbers
        for known in [[p for p in prices if p[1] <= n]]
    ]
    expected_df = alone[0].unionByName(alone[1]).unionByName(alone[2])
    assert_df_equality(together, expected_df, ignore_row_order=True, ignore_nullable=True)


def test_the_order_in_which_bars_are_read_does_not_matter(spark: SparkSession) -> None:
    prices = [("A", n, 10.0 + n) for n in (7, 0, 9, 2, 5)] + [("B", n, 20.0 + n) for n in (9, 8, 7, 6, 5, 4)]
    asked = asked_frame(spark, [("A", 7), ("A", 9), ("B", 8), ("B", 9)])
    actual_df = session_returns(asked, bars_frame(spark, prices), sessions_frame(spark, 9), periods=(2, 5))
    actual = {(row.ticker, row.as_of_date, row.period_days): row.return_pct for row in actual_df.collect()}
    assert {key: value for key, value in actual.items() if value is not None} == {
        ("A", session(7), 2): Decimal("13.333333"),
        ("A", session(7), 5): Decimal("41.666667"),
        ("A", session(9), 2): Decimal("11.764706"),
        ("B", session(8), 2): Decimal("7.692308"),
        ("B", session(9), 2): Decimal("7.407407"),
        ("B", session(9), 5): Decimal("20.833333"),
    }
    assert len(actual) == 8


@pytest.mark.parametrize("year", [1926, 2024])
def test_sorted_rows_are_ranked_by_all_digits(spark: SparkSession, year: int) -> None:
    days = [dt.date(year, 3, day) for day in (1, 2, 3)]
    ends = {"Fell": 99.0, "Fell least": 99.999999, "Same": 100.0, "Rose": 101.0, "Rose more": 101.000001, "Gone": None}
    ends |= {"Tenfold": 1000.0, "Thousandfold": 1e5, "More": 2e5, "Not a number": NAN, "Too large": 1e9}
    starts = dict.fromkeys(ends, 100.0) | {"Too large": 1e-6}
    rows = [(t, d, p) for t, end in ends.items() for d, p in zip(days, (starts[t], starts[t], end), strict=True)]
    bars = frame(spark, [row for row in rows if row[2]], "ticker string, trade_date date, adj_close_price double")
    asked = frame(spark, [(t, day) for t in ends for day in days[1:]], "ticker string, as_of_date date")
    sessions = frame(spark, [(day, n) for n, day in enumerate(days)], "trade_date date, session_number int")
    returns = session_returns(asked, bars, sessions, periods=(1, 2), is_sorted=True)

    found = [row for row in returns.collect() if (row.as_of_date, row.period_days) == (days[2], 2)]
    # Beyond 17,179 percent only the ranks know the order.
    assert {row.ticker for row in found[:2]} == {"Thousandfold", "More"}
    assert [row.ticker for row in found[2:8]] == ["Tenfold", "Rose more", "Rose", "Same", "Fell least", "Fell"]
    without_return = {"Gone": None, "Not a number": None, "Too large": None}
    assert {row.ticker for row in found[8:]} == without_return.keys()
    ranked = returns.withColumn("rank", rank_by_return("return_pct", "as_of_date", "period_days")).collect()
    assert len(ranked) == len(ends) * 4
    ranks = {row.ticker: row["rank"] for row in ranked if (row.as_of_date, row.period_days) == (days[2], 1)}
    best_first = ("More", "Thousandfold", "Tenfold", "Rose more", "Rose", "Same", "Fell least", "Fell")
    assert ranks == without_return | {t: n for n, t in enumerate(best_first, 1)}
    ties = {row.ticker: row["rank"] for row in ranked if (row.as_of_date, row.period_days) == (days[1], 1)}
    assert ties == {ticker: n for n, ticker in enumerate(sorted(ends), 1)}


def test_nothing_asked_keeps_the_schema(spark: SparkSession) -> None:
    asked = asked_frame(spark, [])
    actual_df = session_returns(asked, frame(spark, [], BARS), sessions_frame(spark, 25))
    assert columns_and_types(actual_df.schema) == columns_and_types(frame(spark, [], RESULT).schema)
    assert actual_df.collect() == []


@given(
    st.lists(st.lists(st.none() | st.floats(0.5, 5000), min_size=SESSIONS, max_size=SESSIONS), min_size=2, max_size=6)
)
@FEW_EXAMPLES
def test_any_prices_with_any_holes_give_the_returns_of_pandas(
    spark: SparkSession, paths: list[list[float | None]]
) -> None:
    known = {f"T{n}": path for n, path in enumerate(paths)}
    bars = bars_frame(spark, [(t, n, price) for t, path in known.items() for n, price in enumerate(path) if price])
    asked = asked_frame(spark, [(ticker, n) for ticker in known for n in range(SESSIONS)])
    actual_df = session_returns(asked, bars, sessions_frame(spark, SESSIONS - 1))
    actual = {(row.ticker, row.as_of_date, row.period_days): row.return_pct for row in actual_df.collect()}

    prices = pd.DataFrame(known, dtype="float64")
    expected = {
        (ticker, session(n), period): (prices[ticker] / prices[ticker].shift(period) - 1)[n] * 100
        for ticker in known
        for n in range(SESSIONS)
        for period in (5, 10, 20)
    }
    assert {key for key, percent in actual.items() if percent is not None} == {
        key for key, percent in expected.items() if not math.isnan(percent)
    }
    # Stored with six digits.
    for key, percent in actual.items():
        assert percent is None or float(percent) == pytest.approx(expected[key], abs=0.51e-6)
