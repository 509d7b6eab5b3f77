"""Closes on one basis of splits, and adjusted closes; session number n is the n-th weekday of May 2023."""

from __future__ import annotations

import datetime as dt

import pytest
from chispa import assert_df_equality
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_app.sources.contract import Bar
from spark_app.sources.yahoo.reconcile import reconcile
from spark_app.transforms.split_basis import (
    PRICES,
    split_steps,
    with_dividend_adjusted_close,
    with_events,
    with_quote_basis,
    with_split_basis,
)
from tests.transforms.frames import FEW_EXAMPLES, frame, session

_SPLITS = "ticker string, ex_date date, split_ratio double"
_DIVIDENDS = "ticker string, ex_date date, dividend double"
_BARS = (
    "ticker string, trade_date date, open_price double, high_price double, low_price double, close_price double,"
    " volume bigint, dividend double"
)
_LAST = "ticker string, last_bar date"


def test_an_event_takes_effect_on_the_first_bar_from_its_date_on(spark: SparkSession) -> None:
    # Session 5 is the Monday after session 4; OLD has no bar for two weeks, and ENDS none afterwards.
    days = [("A", n) for n in (0, 1, 4, 5)] + [("OLD", 0), ("OLD", 20), ("ENDS", 0)]
    bars = frame(spark, [(ticker, session(n)) for ticker, n in days], "ticker string, trade_date date")
    splits = frame(
        spark,
        [("A", session(2), 3.0), ("A", session(4), 2.0), ("OLD", session(1), 2.0), ("ENDS", session(1), 2.0)],
        _SPLITS,
    )
    saturday = session(4) + dt.timedelta(days=1)
    dividends = frame(
        spark,
        [("A", session(1), 0.5), ("A", saturday, 0.25), ("A", session(5), 0.5), ("B", session(1), 9.0)],
        _DIVIDENDS,
    )
    expected = frame(
        spark,
        [
            *[("A", session(0), 0.0, 1.0), ("A", session(1), 0.5, 1.0), ("A", session(4), 0.0, 6.0)],
            *[("A", session(5), 0.75, 1.0), ("OLD", session(0), 0.0, 1.0), ("OLD", session(20), 0.0, 1.0)],
            ("ENDS", session(0), 0.0, 1.0),
        ],
        "ticker string, trade_date date, dividend double, split_ratio double",
    )
    actual = with_events(bars, splits, dividends)
    assert_df_equality(actual, expected, ignore_row_order=True, ignore_nullable=True)
    assert with_events(bars.where("false"), splits, dividends).columns == expected.columns


def _split_bars(spark: SparkSession, closes: list[float]) -> DataFrame:
    """A bar of each session of A, with a split 2:1 on session 1 and 10:1 after the last one; of B, without a split."""
    rows = [(t, session(n), c, c, c, c, 600, 0.6) for t in ("A", "B") for n, c in enumerate(closes)]
    return frame(spark, [*rows, ("A", session(9), None, None, None, None, None, 0.0)], _BARS)


@pytest.mark.parametrize(
    ("contained_until", "factors"),
    [
        # All three are contained: the last one is taken out again, for no bar lists it.
        ("date '9999-12-31'", [10, 10, 10]),
        ("trade_date", [1 / 6, 1 / 3, 1 / 3]),
        # 2:1 is contained, 3:1 not.
        (f"date '{session(1)}'", [1 / 3, 1 / 3, 1 / 3]),
        (f"date '{session(2)}'", [1 / 3, 1 / 3, 1 / 3]),
        (f"date '{session(5)}'", [1, 1, 1]),
    ],
)
def test_closes_contain_the_splits_up_to_the_last_bar(
    spark: SparkSession, contained_until: str, factors: list[float]
) -> None:
    splits = frame(
        spark,
        [("A", session(1), 2.0), ("A", session(5), 3.0), ("A", session(20), 10.0), ("C", session(1), 7.0)],
        _SPLITS,
    )
    last = frame(spark, [("A", session(9)), ("B", session(2)), ("C", session(2))], _LAST)
    bars = _split_bars(spark, [12.0, 24.0, 6.0])
    actual = with_split_basis(bars, splits, last, prices=PRICES, contained_until=F.expr(contained_until))
    assert actual.columns == bars.columns
    found = {(row["ticker"], row["trade_date"]): row for row in actual.collect()}
    for n, (close, factor) in enumerate(zip([12.0, 24.0, 6.0], factors, strict=True)):
        row = found["A", session(n)]
        assert [row[name] for name in PRICES] == pytest.approx([close * factor] * 4)
        assert row["dividend"] == pytest.approx(0.6 * factor)
        assert row["volume"] == round(600 / factor)
        assert [found["B", session(n)][name] for name in (*PRICES, "volume")] == [close] * 4 + [600]
    assert found["A", session(9)]["close_price"] is None


def test_splits_that_no_bar_lists_are_worked_into_the_prices_of_quotes(spark: SparkSession) -> None:
    splits = frame(spark, [("A", session(1), 2.0), ("A", session(5), 3.0), ("A", session(8), 5.0)], _SPLITS)
    unlisted = [("EARLY", session(n), ratio) for n, ratio in ((1, 2.0), (2, 1.128), (29, 7.0))]
    splits = splits.union(frame(spark, unlisted, _SPLITS))
    spans = frame(
        spark,
        [("A", session(0), session(2)), ("B", session(0), session(2)), ("EARLY", session(30), session(40))],
        "ticker string, first_bar date, last_bar date",
    )
    rows = [("A", 0, 60.0, 60.0), ("A", 4, 30.0, 30.0), ("A", 5, 10.0, 30.0), ("A", 8, 2.0, 30.0)]
    rows += [("B", 8, 7.0, 7.0), ("NEW", 8, 7.0, 7.0)]
    # Of the splits before the first bar: 2:1 is worked in, 1.128 is a spin-off, 7:1 takes effect on the first bar.
    rows += [("EARLY", 0, 60.0, 30.0), ("EARLY", 1, 30.0, 30.0)]
    quotes = frame(
        spark,
        [(ticker, session(n), price, expected) for ticker, n, price, expected in rows],
        "ticker string, quote_date date, price double, expected double",
    )
    assert with_quote_basis(quotes, splits, spans).where("price <> expected").collect() == []


def test_adjusted_closes_are_those_that_yahoo_computes(spark: SparkSession) -> None:
    # A dividend of 2 after a close of 100, one of 4.9 after 49; one above the close is none.
    closes = [
        ("A", 0, 100.0, 0.0, 88.2),
        ("A", 1, 49.0, 2.0, 44.1),
        ("A", 2, 50.0, 4.9, 50.0),
        ("A", 3, 60.0, 70.0, 60.0),
    ]
    closes += [("B", 0, 10.0, 1.0, 10.0), ("B", 5, 11.0, 0.0, 11.0)]
    bars = frame(
        spark,
        [(ticker, session(n), close, dividend, None, expected) for ticker, n, close, dividend, expected in closes],
        "ticker string, trade_date date, close_price double, dividend double, adj_close_price double, expected double",
    )
    actual = with_dividend_adjusted_close(bars)
    assert actual.columns == bars.columns
    assert actual.where("abs(adj_close_price - expected) > 1e-12").collect() == []
    assert actual.where("false").columns == bars.columns


_PATHS = st.lists(st.tuples(st.floats(1, 1000), st.sampled_from([0.0, 0.0, 0.3, 2.5])), min_size=2, max_size=30).filter(
    lambda path: any(dividend for _, dividend in path[1:])
)


@FEW_EXAMPLES
@given(paths=st.lists(_PATHS, min_size=5, max_size=20))
def test_adjusted_closes_agree_with_those_of_a_reconciled_chart(
    spark: SparkSession, paths: list[list[tuple[float, float]]]
) -> None:
    rows, expected = [], {}
    for number, path in enumerate(paths):
        chart = [Bar(session(n), c, c, c, c, c, 1, dividend) for n, (c, dividend) in enumerate(path)]
        rows += [(str(number), bar.trade_date, bar.close_price, bar.dividend, None) for bar in chart]
        for bar in reconcile(chart).bars:
            expected[str(number), bar.trade_date] = bar.adj_close_price
    bars = frame(
        spark, rows, "ticker string, trade_date date, close_price double, dividend double, adj_close_price double"
    )
    found = {(row[0], row[1]): row["adj_close_price"] for row in with_dividend_adjusted_close(bars).collect()}
    assert found == pytest.approx(expected, rel=1e-12)


def test_steps_show_whether_closes_contain_a_split(spark: SparkSession) -> None:
    cases = {
        "CONTAINS": (100.0, 101.0, 2.0, 0),
        "LACKS": (100.0, 51.0, 2.0, -1),
        "TWICE": (50.0, 99.0, 2.0, 1),
        "REVERSE": (1.0, 9.8, 0.1, -1),
        "SPIN_OFF": (100.0, 101.0, 1.1, None),
        "NONE": (100.0, 50.0, 1.0, None),
    }
    rows = [(t, session(n), c, r) for t, (c0, c1, s, _) in cases.items() for n, c, r in ((0, c0, 1.0), (1, c1, s))]
    bars = frame(spark, rows, "ticker string, trade_date date, close_price double, split_ratio double")
    found = {row["ticker"]: row["step"] for row in split_steps(bars).collect()}
    assert found == {ticker: step for ticker, (*_, step) in cases.items() if step is not None}
