from __future__ import annotations

import datetime as dt
from decimal import Decimal

from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_app.schemas import BARS, HOLDINGS, QUOTES
from spark_app.transforms.new_rows import new_bars, new_holdings, new_quotes
from tests.transforms.frames import NOON, bars_frame, frame, session

LATER = NOON + dt.timedelta(days=1)
NAN = float("nan")


def test_new_and_changed_bars_are_kept_equal_ones_are_not(spark: SparkSession) -> None:
    staged = bars_frame(spark, [("A", 0, 1.0), ("A", 1, None), ("A", 2, NAN), ("A", 3, 4.0), ("A", 4, None)])
    fetched = bars_frame(
        spark,
        [("A", 0, 1.0), ("A", 1, None), ("A", 2, NAN), ("A", 3, 4.000001), ("A", 4, 5.0), ("A", 5, 6.0)],
        fetched_at=LATER,
    )
    expected_df = fetched.where(fetched.trade_date >= session(3)).withColumn(
        "is_restated", fetched.trade_date < session(5)
    )
    assert_df_equality(new_bars(fetched, staged), expected_df, ignore_row_order=True, ignore_nullable=True)


def test_a_bar_restated_back_counts_as_changed(spark: SparkSession) -> None:
    first = bars_frame(spark, [("A", 0, 1.0)], fetched_at=NOON - dt.timedelta(days=1))
    second = bars_frame(spark, [("A", 0, 2.0)], fetched_at=NOON)
    fetched = bars_frame(spark, [("A", 0, 1.0)], fetched_at=LATER)
    expected_df = fetched.withColumn("is_restated", F.lit(True))
    assert_df_equality(new_bars(fetched, first.unionByName(second)), expected_df, ignore_nullable=True)


def test_a_bar_is_compared_with_the_newest_staged_one_only(spark: SparkSession) -> None:
    first = bars_frame(spark, [("A", 0, 1.0)], fetched_at=NOON - dt.timedelta(days=1))
    second = bars_frame(spark, [("A", 0, 2.0)], fetched_at=NOON)
    fetched = bars_frame(spark, [("A", 0, 2.0)], fetched_at=LATER)
    assert new_bars(fetched, first.unionByName(second)).collect() == []


def test_a_duplicate_bar_is_kept_once(spark: SparkSession) -> None:
    fetched = bars_frame(spark, [("A", 0, 1.0), ("A", 0, 1.0)])
    assert new_bars(fetched, frame(spark, [], BARS)).count() == 1


def test_nothing_fetched_gives_nothing_with_the_full_schema(spark: SparkSession) -> None:
    for choose, schema in ((new_bars, BARS), (new_quotes, QUOTES), (new_holdings, HOLDINGS)):
        empty = frame(spark, [], schema)
        actual_df = choose(empty, empty).drop("is_restated")
        assert actual_df.schema.simpleString() == schema.simpleString()
        assert actual_df.collect() == []


def test_a_quote_counts_by_what_it_says(spark: SparkSession) -> None:
    def quotes(cap: int | None, fetched_at: dt.datetime) -> DataFrame:
        row = ("A", NOON, session(0), cap, 2.0, "Name", None, fetched_at, "run", "test")
        return frame(spark, [row], QUOTES)

    assert new_quotes(quotes(5, LATER), quotes(5, NOON)).collect() == []
    assert new_quotes(quotes(None, LATER), quotes(None, NOON)).collect() == []
    assert [row.market_cap for row in new_quotes(quotes(6, LATER), quotes(5, NOON)).collect()] == [6]
    assert [row.market_cap for row in new_quotes(quotes(5, LATER), quotes(None, NOON)).collect()] == [5]


def test_a_snapshot_is_kept_whole_or_not_at_all(spark: SparkSession) -> None:
    def snapshots(fetched_at: dt.datetime, *rows: tuple[str, str, str]) -> DataFrame:
        whole = [(fund, session(0), held, None, Decimal(p), fetched_at, "run", "test") for fund, held, p in rows]
        return frame(spark, whole, HOLDINGS)

    staged = snapshots(
        NOON,
        *[("XLK", "A", "2"), ("XLK", "B", "1")],
        *[("XLE", "A", "2"), ("XLE", "B", "1")],
        *[("XLF", "A", "2"), ("XLF", "B", "1")],
        *[("XLU", "A", "2")],
    )
    same = [("XLK", "B", "1"), ("XLK", "A", "2")]
    one_differs = [("XLE", "A", "2"), ("XLE", "B", "1.000001")]
    one_is_gone = [("XLF", "A", "2")]
    one_is_added = [("XLU", "A", "2"), ("XLU", "B", "1")]
    unknown_fund = [("XLV", "A", "1")]
    fetched = snapshots(LATER, *same, *one_differs, *one_is_gone, *one_is_added, *unknown_fund)
    expected_df = snapshots(LATER, *one_differs, *one_is_gone, *one_is_added, *unknown_fund)
    assert_df_equality(new_holdings(fetched, staged), expected_df, ignore_row_order=True, ignore_nullable=True)
