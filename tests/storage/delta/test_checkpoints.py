"""A checkpoint that was cut short is done without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from spark_app.storage.delta.checkpoints import set_cut_checkpoints_aside


@pytest.mark.parametrize("kept_bytes", [0, 500])
def test_a_cut_checkpoint_is_set_aside_and_told(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture, kept_bytes: int
) -> None:
    table, log = str(tmp_path / "with space"), tmp_path / "with space" / "_delta_log"
    DeltaTable.create(spark).location(table).addColumn("id", "bigint").execute()
    spark.range(3).coalesce(1).write.format("delta").mode("append").save(table)
    jvm: Any = spark.sparkContext._jvm
    delta = jvm.org.apache.spark.sql.delta.DeltaLog
    delta.forTable(spark._jsparkSession, table).checkpoint()
    set_cut_checkpoints_aside(spark, table)
    checkpoint = log / f"{1:020d}.checkpoint.parquet"
    assert checkpoint.exists()
    checkpoint.write_bytes(checkpoint.read_bytes()[:kept_bytes])
    delta.clearCache()

    set_cut_checkpoints_aside(spark, table)

    assert [record.getMessage() for record in caplog.records if record.name.startswith("spark_app")] == [
        f"staging: the checkpoint {checkpoint} was cut short: doing without it"
    ]
    assert spark.read.format("delta").load(table).select("id").orderBy("id").collect() == [(0,), (1,), (2,)]


def test_a_table_that_does_not_exist_yet_has_no_checkpoint(spark: SparkSession, tmp_path: Path) -> None:
    set_cut_checkpoints_aside(spark, str(tmp_path / "bars"))
