"""Restatements by a newer fetch: splits, dividends, corrections."""

from __future__ import annotations

import datetime as dt

import pytest
from pyspark.sql import SparkSession

from spark_app.transforms.restatements import restatements

MON, TUE, WED = (dt.date(2024, 3, day) for day in (11, 12, 13))
EARLIER, LATER = (dt.datetime(2024, 3, 13, hour, tzinfo=dt.UTC) for hour in (9, 23))
SCHEMA = (
    "ticker string, trade_date date, close_price double, adj_close_price double, fetched_at timestamp, run_id string"
)


def told(spark: SparkSession, *rows: tuple[object, ...]) -> list[tuple[object, ...]]:
    frame = restatements(spark.createDataFrame(list(rows), SCHEMA), ["later"])
    return [(r.ticker, r.kind, round(r.ratio, 6), r.sessions, r.first_date, r.last_date) for r in frame.collect()]


@pytest.mark.parametrize(
    ("close", "adjusted", "kind", "ratio"),
    [(25.0, 24.5, "split", 0.25), (100.0, 97.02, "dividend", 0.99), (100.0, 98.0, "correction", 1.0)],
)
def test_a_restatement_is_named_by_what_moved(
    spark: SparkSession, close: float, adjusted: float, kind: str, ratio: float
) -> None:
    before = [("KO", day, 100.0, 98.0, EARLIER, "first") for day in (MON, TUE)]
    after = [("KO", day, close, adjusted, LATER, "later") for day in (MON, TUE)]
    assert told(spark, *before, *after) == [("KO", kind, ratio, 2, MON, TUE)]


def test_new_sessions_and_restatements_of_other_runs_are_not_listed(spark: SparkSession) -> None:
    rows = [
        ("KO", MON, 100.0, 98.0, EARLIER, "first"),
        ("KO", MON, 50.0, 49.0, EARLIER + dt.timedelta(hours=1), "second"),
        ("KO", WED, 50.0, 49.0, LATER, "later"),
    ]
    assert told(spark, *rows) == []
