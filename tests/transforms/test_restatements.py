"""Restatements by a newer fetch: splits, dividends, corrections."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_app.transforms.restatements import restatements
from tests.transforms.frames import FEW_EXAMPLES, frame

MON, TUE, WED = (dt.date(2024, 3, day) for day in (11, 12, 13))
EARLIER, LATER = (dt.datetime(2024, 3, 13, hour, tzinfo=dt.UTC) for hour in (9, 23))
SCHEMA = (
    "ticker string, trade_date date, close_price double, adj_close_price double, fetched_at timestamp, run_id string"
)


def told(spark: SparkSession, *rows: tuple[object, ...]) -> list[tuple[object, ...]]:
    found = restatements(frame(spark, list(rows), SCHEMA), ["later"])
    return [(r.ticker, r.kind, round(r.ratio, 6), r.sessions, r.first_date, r.last_date) for r in found.collect()]


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


def test_without_runs_those_of_all_runs_are_listed_with_the_time_of_their_fetch(spark: SparkSession) -> None:
    between = EARLIER + dt.timedelta(hours=1)
    rows = [
        ("KO", MON, 100.0, 98.0, EARLIER, "first"),
        ("KO", MON, 50.0, 49.0, between, "second"),
        ("KO", MON, 50.0, 48.0, LATER, "later"),
    ]
    found = restatements(frame(spark, rows, SCHEMA)).withColumn("noticed_at", F.unix_seconds("noticed_at"))
    told = {(row.run_id, row.kind, row.noticed_at) for row in found.collect()}
    assert told == {("second", "split", between.timestamp()), ("later", "dividend", LATER.timestamp())}


@st.composite
def histories(draw: st.DrawFn) -> tuple[str, float, list[float]]:
    """What happened to a ticker, its ratio, and the closes before it."""
    kind = draw(st.sampled_from(["split", "dividend", "correction"]))
    ratio = draw(st.floats(0.05, 0.999) | st.floats(1.001, 20)) if kind != "correction" else 1.0
    return kind, ratio, draw(st.lists(st.floats(0.01, 10000), min_size=1, max_size=8))


@given(st.lists(histories(), min_size=5, max_size=20))
@FEW_EXAMPLES
def test_any_split_or_dividend_is_told_with_its_ratio_and_its_sessions(
    spark: SparkSession, known: list[tuple[str, float, list[float]]]
) -> None:
    rows, expected = [], []
    for n, (kind, ratio, closes) in enumerate(known):
        days = [MON + dt.timedelta(days=day) for day in range(len(closes))]
        for day, close in zip(days, closes, strict=True):
            rows.append((f"T{n}", day, close, close * 0.9, EARLIER, "first"))
            new_close = close * ratio if kind == "split" else close
            rows.append((f"T{n}", day, new_close, close * 0.9 * ratio, LATER, "later"))
        expected.append((f"T{n}", kind, round(ratio, 6), len(days), days[0], days[-1]))
    assert sorted(told(spark, *rows)) == sorted(expected)
