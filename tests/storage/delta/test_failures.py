"""Failures of the storage of staging are one sentence each; other errors stay defects."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_app.errors import ServiceUnavailableError
from spark_app.storage.delta.failures import staging_in_use
from spark_app.storage.delta.staging import FETCHES_TABLE, Staging


def test_tables_that_cannot_be_created_are_one_sentence(spark: SparkSession) -> None:
    # Nobody makes folders there, not even root.
    with pytest.raises(
        ServiceUnavailableError, match="staging failed while writing /proc/staging/fetches: "
    ) as failure:
        Staging(spark, "/proc/staging", "real").ensure(FETCHES_TABLE)
    assert "\n" not in str(failure.value)


def test_an_unknown_file_system_is_named(spark: SparkSession) -> None:
    reason = 'UnsupportedFileSystemException: No FileSystem for scheme "s4"'
    with pytest.raises(ServiceUnavailableError, match=f"looking for s4://market/staging/fetches: {reason}$"):
        Staging(spark, "s4://market/staging", "real").read(FETCHES_TABLE)


def test_a_file_that_is_gone_when_spark_reads_it_is_a_failure_of_the_storage(
    spark: SparkSession, tmp_path: Path
) -> None:
    spark.range(3).coalesce(1).write.parquet(str(tmp_path / "rows"))
    rows = spark.read.parquet(str(tmp_path / "rows"))
    for file in (tmp_path / "rows").glob("*.parquet"):
        file.unlink()
    with (
        pytest.raises(
            ServiceUnavailableError, match="staging failed while reading s3a://market: FileNotFoundException"
        ),
        staging_in_use("s3a://market"),
    ):
        rows.agg(F.sum("id")).collect()


def test_a_defect_of_a_query_is_not_translated(spark: SparkSession) -> None:
    with pytest.raises(PySparkException, match="no such thing"), staging_in_use("s3a://market"):
        spark.range(1).select(F.raise_error(F.lit("no such thing"))).collect()
