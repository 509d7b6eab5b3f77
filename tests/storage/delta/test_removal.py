"""Compaction of staging: fewer files, the same rows, and what reads or appends goes on as before."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pyspark.sql import SparkSession

from spark_app.schemas import FETCHES
from spark_app.storage.delta.removal import compact, reclaim
from spark_app.storage.delta.staging import BARS_TABLE, FETCHES_TABLE, Staging
from tests.storage.delta.test_staging import FETCHED_AT, bars, staging

TICKERS = ("XLB", "XLC", "XLE", "XLF")


def served(tables: Staging) -> list[str]:
    return sorted(row["ticker"] for row in tables.read(BARS_TABLE).collect())


def test_many_small_files_become_one_that_has_the_same_rows(spark: SparkSession, tmp_path: Path) -> None:
    tables = staging(spark, tmp_path)
    assert tables.count_files(BARS_TABLE) == 0
    for ticker in TICKERS:
        tables.append(BARS_TABLE, bars(spark, ticker).coalesce(1))
    before = tables.read(BARS_TABLE)
    assert tables.count_files(BARS_TABLE) == 4
    compact(tables, BARS_TABLE)
    assert (tables.count_files(BARS_TABLE), served(tables)) == (1, list(TICKERS))
    # Who began to read before still can, and the next run appends; the files of before go with the vacuum.
    assert before.count() == 4
    tables.append(BARS_TABLE, bars(spark, "XLK").coalesce(1))
    reclaim(tables, BARS_TABLE, unused_for=dt.timedelta())
    assert (tables.count_files(BARS_TABLE), served(tables)) == (2, [*TICKERS, "XLK"])
    assert len(list(Path(tables.path(BARS_TABLE)).glob("*.parquet"))) == 2


def test_files_are_counted_where_delta_lists_them_no_longer(spark: SparkSession, tmp_path: Path) -> None:
    tables = staging(spark, tmp_path)
    for ticker in TICKERS[:2]:
        tables.append(BARS_TABLE, bars(spark, ticker).coalesce(1))
    for checksum in (Path(tables.path(BARS_TABLE)) / "_delta_log").glob("*.crc"):
        checksum.unlink()
    assert tables.count_files(BARS_TABLE) == 2


def test_after_compaction_the_fetches_of_a_run_are_those_of_this_run(spark: SparkSession, tmp_path: Path) -> None:
    tables = staging(spark, tmp_path)
    for run_id in ("run 1", "run 2", "run 3"):
        values = {"run_id": run_id, "ticker": "XLK", "kind": "chart", "fetched_at": FETCHED_AT}
        row = tuple(values.get(name) for name in FETCHES.fieldNames())
        tables.append(FETCHES_TABLE, spark.createDataFrame([row], FETCHES).coalesce(1))
    compact(tables, FETCHES_TABLE)
    assert tables.count_files(FETCHES_TABLE) == 1
    assert [row["run_id"] for row in tables.fetches_of(["run 2"], "chart").collect()] == ["run 2"]
