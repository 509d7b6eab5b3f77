from __future__ import annotations

import datetime as dt
from decimal import Decimal

from chispa import assert_df_equality
from pyspark.sql import SparkSession

from spark_app.schemas import HOLDINGS, QUOTES
from spark_app.transforms.current import current_bars, current_holdings, current_quotes
from tests.transforms.frames import NOON, bars_frame, frame, session

EARLIER = NOON - dt.timedelta(days=1)
LATER = NOON + dt.timedelta(microseconds=1)


def test_the_bar_fetched_last_is_current_even_if_it_is_worse(spark: SparkSession) -> None:
    first = bars_frame(spark, [("A", 0, 9.0), ("A", 1, 5.0), ("B", 0, 1.0)], fetched_at=NOON)
    restated = bars_frame(spark, [("A", 0, None)], fetched_at=LATER)
    oldest = bars_frame(spark, [("A", 0, 99.0), ("A", 1, 98.0)], fetched_at=EARLIER)
    actual_df = current_bars(oldest.unionByName(restated).unionByName(first))
    expected_df = restated.unionByName(first.where(~((first.ticker == "A") & (first.trade_date == session(0)))))
    assert_df_equality(actual_df, expected_df, ignore_row_order=True, ignore_nullable=True)


def test_fewer_columns_may_go_in(spark: SparkSession) -> None:
    bars = bars_frame(spark, [("A", 0, 9.0)]).select("close_price", "ticker", "fetched_at", "trade_date")
    assert_df_equality(current_bars(bars), bars, ignore_nullable=True)


def test_two_bars_of_one_fetch_give_one_whole_row_whatever_their_order(spark: SparkSession) -> None:
    bars = bars_frame(spark, [("A", 0, 9.0), ("A", 0, 8.0)])
    low_high = bars.unionByName(bars.limit(0))
    backwards = bars.orderBy("close_price")
    rows = [frame.collect() for frame in (current_bars(low_high), current_bars(backwards))]
    assert rows[0] == rows[1]
    assert [(row.open_price, row.close_price) for row in rows[0]] == [(9.0, 9.0)]


def test_quotes_are_current_per_day(spark: SparkSession) -> None:
    quotes = [
        ("A", NOON, session(0), 100, 1.0, "old", None, EARLIER, "r1", "test"),
        ("A", NOON, session(0), 200, 2.0, "new", None, NOON, "r2", "test"),
        ("A", NOON, session(1), 300, 3.0, "other day", None, EARLIER, "r1", "test"),
    ]
    actual_df = current_quotes(frame(spark, quotes, QUOTES))
    assert_df_equality(actual_df, frame(spark, quotes[1:], QUOTES), ignore_row_order=True, ignore_nullable=True)


def test_a_newer_snapshot_replaces_the_whole_older_one(spark: SparkSession) -> None:
    rows = [
        ("XLK", session(0), "GONE", "gone", Decimal(9), EARLIER, "r1", "test"),
        ("XLK", session(0), "STAYS", "stays", Decimal(8), EARLIER, "r1", "test"),
        ("XLK", session(0), "STAYS", "stays", Decimal(7), NOON, "r2", "test"),
        ("XLK", session(0), "NEW", "new", Decimal(6), NOON, "r2", "test"),
        ("XLK", session(1), "GONE", "gone", Decimal(5), EARLIER, "r1", "test"),
    ]
    actual_df = current_holdings(frame(spark, rows, HOLDINGS))
    assert_df_equality(actual_df, frame(spark, rows[2:], HOLDINGS), ignore_row_order=True, ignore_nullable=True)
