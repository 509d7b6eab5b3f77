"""The values of a user's own file: read strictly, and the first problem of a row."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_app.transforms.file_rows import FileColumn, ValueKind, typed_rows, with_duplicates
from tests.transforms.frames import frame

NAN = math.nan
DAY = dt.date(2024, 1, 5)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (ValueKind.NUMBER, "1.5", 1.5),
        (ValueKind.NUMBER, " -1e3 ", -1000.0),
        (ValueKind.NUMBER, ".5", 0.5),
        (ValueKind.WHOLE, "9007199254740993", 9007199254740993),
        (ValueKind.WHOLE, "12.0", 12),
        (ValueKind.DATE, "2024-01-05", DAY),
        (ValueKind.TEXT, " Berkshire\tHathaway ", "Berkshire Hathaway"),
        (ValueKind.TICKER, "BRK", "BRK"),
    ],
)
def test_a_text_is_read_as_what_it_says(spark: SparkSession, kind: ValueKind, text: str, value: object) -> None:
    assert _read(spark, kind, text, "string") == (value, None)


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        *[
            (ValueKind.NUMBER, text, "it is not a number")
            for text in ("1,5", "1_000", "1.5d", "NaN", "Infinity", "0x1", "n/a")
        ],
        *[(ValueKind.WHOLE, text, "it is not a whole number") for text in ("1.5", "1e30", "9223372036854775808", "x")],
        *[
            (ValueKind.DATE, text, "it is not a date as YYYY-MM-DD")
            for text in ("2024-02-30", "05/01/2024", "2024-1-5", "2024-01-05T00:00", "20240105")
        ],
        (ValueKind.TICKER, "", "it is empty"),
        (ValueKind.NUMBER, None, "it is empty"),
        (ValueKind.TICKER, "bad", "it is not a ticker such as XLK or BRK-B"),
    ],
)
def test_anything_else_is_a_problem(spark: SparkSession, kind: ValueKind, text: str | None, reason: str) -> None:
    assert _read(spark, kind, text, "string") == (None, reason)


@pytest.mark.parametrize(
    ("kind", "given", "data_type", "expected"),
    [
        (ValueKind.NUMBER, 1.5, "double", (1.5, None)),
        (ValueKind.NUMBER, NAN, "double", (None, "it is empty")),
        (ValueKind.NUMBER, Decimal("1.25"), "decimal(9,2)", (1.25, None)),
        (ValueKind.WHOLE, 12.0, "double", (12, None)),
        (ValueKind.WHOLE, 12.5, "double", (None, "it is not a whole number")),
        (ValueKind.WHOLE, 2**62 + 1, "bigint", (2**62 + 1, None)),
        (ValueKind.DATE, DAY, "date", (DAY, None)),
        (ValueKind.DATE, dt.datetime.combine(DAY, dt.time()), "timestamp_ntz", (DAY, None)),
        (
            ValueKind.DATE,
            dt.datetime.combine(DAY, dt.time(16)),
            "timestamp_ntz",
            (None, "it is not a date as YYYY-MM-DD"),
        ),
    ],
)
def test_a_typed_value_is_taken_as_it_is(
    spark: SparkSession, kind: ValueKind, given: object, data_type: str, expected: tuple[object, str | None]
) -> None:
    assert _read(spark, kind, given, data_type) == expected


def _read(spark: SparkSession, kind: ValueKind, given: object, data_type: str) -> tuple[object, str | None]:
    raw = frame(spark, [(given,)], f"value {data_type}")
    spelt = F.when(~F.col("value").isin("bad", ""), F.col("value")) if data_type == "string" else F.col("value")
    row = typed_rows(raw, [FileColumn("value", kind)], spell=lambda _: spelt, carry=()).collect()[0]
    return row["value"], row["problem"] and row["problem"]["reason"]


def test_the_first_problem_of_a_row_counts_and_a_column_may_be_missing(spark: SparkSession) -> None:
    columns = [
        FileColumn("day", ValueKind.DATE),
        FileColumn("amount", ValueKind.NUMBER, limits=(0, 10)),
        FileColumn("extra", ValueKind.WHOLE, is_needed=False, may_be_empty=True),
    ]
    raw = frame(
        spark,
        [(1, "2024-01-05", "10"), (2, "x", "11"), (3, "2024-01-05", "11"), (4, "2024-01-05", "")],
        "place int, day string, amount string",
    )
    rows = typed_rows(raw, columns, spell=lambda ticker: ticker, carry=["place"]).orderBy("place").collect()
    assert [row.asDict(recursive=True)["problem"] for row in rows] == [
        None,
        {"column": "day", "value": "x", "reason": "it is not a date as YYYY-MM-DD"},
        {"column": "amount", "value": "11", "reason": "it is not between 0 and 10"},
        {"column": "amount", "value": "", "reason": "it is empty"},
    ]
    assert {row["extra"] for row in rows} == {None}


def test_every_row_of_a_key_that_occurs_twice_has_a_problem(spark: SparkSession) -> None:
    rows = frame(
        spark,
        [("A", 1, None), ("A", 1, None), ("A", 2, None), ("A", 2, ("x", "y", "z")), ("B", 1, None), (None, 1, None)],
        "ticker string, number int, problem struct<column string, value string, reason string>",
    )
    found = with_duplicates(rows, ["ticker", "number"]).where("problem.reason = 'it is in more than one row'").collect()
    assert [(row["ticker"], row["number"]) for row in found] == [("A", 1), ("A", 1)]
    assert found[0]["problem"].asDict() == {
        "column": "ticker, number", "value": "A 1", "reason": "it is in more than one row",
    }  # fmt: skip
