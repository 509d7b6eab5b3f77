"""Delta staging: appends that can be repeated, and kinds of data that do not mix."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_app.errors import ServiceUnavailableError, UsageError
from spark_app.schemas import BARS, FETCHES
from spark_app.storage.staging import BARS_TABLE, FETCHES_TABLE, Staging

FETCHED_AT = dt.datetime(2023, 6, 30, 21, 5, tzinfo=dt.UTC)


def bars(spark: SparkSession, *tickers: str) -> DataFrame:
    rows = [
        (t, dt.date(2023, 6, 30), 1.0, 1.0, 1.0, 1.0, 1.0, 1, 0.0, 1.0, FETCHED_AT, "run", "yahoo") for t in tickers
    ]
    return spark.createDataFrame(rows, BARS)


def staging(spark: SparkSession, folder: Path, origin: str = "real") -> Staging:
    return Staging(spark, str(folder / "staging with space"), origin)


def test_a_table_that_does_not_exist_yet_is_empty(spark: SparkSession, tmp_path: Path) -> None:
    empty = staging(spark, tmp_path).read(BARS_TABLE)
    assert (empty.count(), empty.schema) == (0, BARS)


def test_an_append_is_done_once_however_often_it_is_repeated(spark: SparkSession, tmp_path: Path) -> None:
    tables = staging(spark, tmp_path)
    for _ in range(3):
        tables.append(BARS_TABLE, bars(spark, "XLK"), transaction="run/stage1/bars")
    tables.append(BARS_TABLE, bars(spark, "XLE"), transaction="other run/stage1/bars")
    assert sorted(row.ticker for row in tables.read(BARS_TABLE).collect()) == ["XLE", "XLK"]


def test_an_append_returns_the_version_it_made(spark: SparkSession, tmp_path: Path) -> None:
    tables = staging(spark, tmp_path)
    first = tables.append(BARS_TABLE, bars(spark, "XLK"), transaction="a")
    assert tables.append(BARS_TABLE, bars(spark, "XLE"), transaction="b") == first + 1


def test_synthetic_and_real_data_never_share_the_staging_tables(spark: SparkSession, tmp_path: Path) -> None:
    nothing = spark.createDataFrame([], FETCHES)
    staging(spark, tmp_path).append(FETCHES_TABLE, nothing, transaction="a")
    staging(spark, tmp_path).check_origin()
    with pytest.raises(UsageError, match="hold real data and the run would add synthetic"):
        staging(spark, tmp_path, "synthetic").check_origin()


def test_a_place_that_cannot_be_written_is_one_sentence(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    blocked = Staging(spark, str(tmp_path / "file"), "real")
    with pytest.raises(ServiceUnavailableError, match="staging failed while") as failure:
        blocked.append(BARS_TABLE, bars(spark, "XLK"), transaction="a")
    assert "\n" not in str(failure.value)
