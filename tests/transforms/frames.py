"""Small input tables for the tests of the transforms.

Session number n is `session(n)`: the n-th weekday counted from Monday, 2023-05-01, which is number 0.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import cast

import pyarrow as pa
from hypothesis import Phase, settings
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructField, StructType

from spark_app.schemas import BARS, ServedTable
from spark_app.universe import SHARE_CLASSES

FEW_EXAMPLES = settings(max_examples=5, phases=[Phase.explicit, Phase.generate])
"""Of property tests: an example is a table of many cases; a smaller one that fails as well would cost minutes."""

NOON = dt.datetime(2023, 12, 1, 17, 0, tzinfo=dt.UTC)
"""When bars were fetched unless a test says otherwise: noon of 2023-12-01 in New York."""


def session(number: int) -> dt.date:
    """Return the date of a session by its number."""
    weeks, weekday = divmod(number, 5)
    return dt.date(2023, 5, 1) + dt.timedelta(days=7 * weeks + weekday)


def frame(spark: SparkSession, rows: Sequence[Sequence[object]], schema: StructType | str) -> DataFrame:
    """Make a table of rows; from a list PySpark would make an RDD, and start Python for each use of it."""
    fields = schema if isinstance(schema, StructType) else cast(StructType, StructType.fromDDL(schema))
    columns = list(zip(*rows, strict=True)) or [()] * len(fields)
    made: DataFrame = spark.createDataFrame(pa.table(columns, schema=to_arrow_schema(fields, timezone="UTC")), fields)
    return made


def sessions_frame(spark: SparkSession, last: int, first: int = 0) -> DataFrame:
    """List the sessions with the numbers `first` to `last`."""
    rows = [(session(n), n) for n in range(first, last + 1)]
    return frame(spark, rows, "trade_date date, session_number int")


def as_of_frame(spark: SparkSession, *numbers: int) -> DataFrame:
    """List as-of dates by session number."""
    return frame(spark, [(session(n),) for n in numbers], "as_of_date date")


def asked_frame(spark: SparkSession, rows: Iterable[tuple[str, int]]) -> DataFrame:
    """List (ticker, as-of session number) pairs."""
    return frame(spark, [(ticker, session(n)) for ticker, n in rows], "ticker string, as_of_date date")


def bars_frame(
    spark: SparkSession,
    prices: Iterable[tuple[str, int, float | None]],
    *,
    fetched_at: dt.datetime = NOON,
    splits: dict[tuple[str, int], float] | None = None,
) -> DataFrame:
    """Build whole bars from (ticker, session number, price); every price of the bar is that price."""
    ratios = splits or {}
    rows = [
        (ticker, session(n), p, p, p, p, p, 100, 0.0, ratios.get((ticker, n), 1.0), fetched_at, "run-1", "test")
        for ticker, n, p in prices
    ]
    return frame(spark, rows, BARS)


def share_classes_frame(spark: SparkSession) -> DataFrame:
    """Build the table of share classes as stage 5 does."""
    return frame(spark, SHARE_CLASSES, "ticker string, issuer string, valid_from date, valid_to date")


def columns_and_types(fields: Iterable[StructField]) -> list[tuple[str, str]]:
    """Name each column and its type, without nullability."""
    return [(field.name, field.dataType.simpleString()) for field in fields]


def served_types(table: ServedTable) -> list[tuple[str, str]]:
    """Name the columns and types of a served table that a transform computes."""
    without_run = StructType([field for field in table.schema.fields if field.name != "run_id"])
    return columns_and_types(without_run)
