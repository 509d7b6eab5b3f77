from __future__ import annotations

from chispa import assert_df_equality
from pyspark.sql import SparkSession

from spark_app.transforms.point_in_time import is_look_ahead, join_point_in_time
from tests.transforms.frames import frame, session

FACTS = "ticker string, fact_date date, label string"


def test_the_newest_fact_not_after_the_date_is_used_else_the_earliest_after_it(spark: SparkSession) -> None:
    facts = frame(
        spark,
        [
            ("A", session(3), "third"),
            ("A", session(5), "fifth"),
            ("A", session(9), "ninth"),
            ("B", session(8), "b"),
            ("unasked", session(1), "x"),
        ],
        FACTS,
    )
    expected_df = frame(
        spark,
        [
            ("A", session(0), 1, session(3), "third", True),
            ("A", session(3), 2, session(3), "third", False),
            ("A", session(4), 3, session(3), "third", False),
            ("A", session(5), 4, session(5), "fifth", False),
            ("A", session(8), 5, session(5), "fifth", False),
            ("A", session(20), 6, session(9), "ninth", False),
            ("B", session(5), 7, session(8), "b", True),
            ("C", session(5), 8, None, None, None),
        ],
        "ticker string, as_of_date date, other int, fact_date date, label string, is_look_ahead boolean",
    )
    asked = expected_df.select("ticker", "as_of_date", "other")
    dated = join_point_in_time(asked, facts, key="ticker", date="fact_date", carry=("label",))
    actual_df = dated.withColumn("is_look_ahead", is_look_ahead("fact_date"))
    assert_df_equality(actual_df, expected_df, ignore_row_order=True, ignore_nullable=True)


def test_without_facts_every_asked_row_stays(spark: SparkSession) -> None:
    asked = frame(spark, [("A", session(0))], "ticker string, as_of_date date")
    actual_df = join_point_in_time(asked, frame(spark, [], FACTS), key="ticker", date="fact_date")
    assert [tuple(row) for row in actual_df.collect()] == [("A", session(0), None)]
