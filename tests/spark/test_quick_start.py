from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_app.spark.java import java_class
from spark_app.spark.quick_start import clear_hadoop_defaults, warm_up


def _note_process(batches: Iterator[pd.DataFrame], *, folder: Path) -> Iterator[pd.DataFrame]:
    for _ in batches:
        (folder / str(os.getpid())).touch()
    yield from ()


def _keep_busy(batches: Iterator[pd.DataFrame], *, folder: Path) -> Iterator[pd.DataFrame]:
    """Hold a core until a while after the first process was noted."""
    for _ in batches:
        deadline = time.monotonic() + 30
        while not list(folder.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(2)
    yield from ()


def test_a_python_worker_is_started_for_each_core_also_while_one_is_busy(spark: SparkSession, tmp_path: Path) -> None:
    busy = spark.range(0, 1, 1, 1).mapInPandas(functools.partial(_keep_busy, folder=tmp_path), "nothing int")
    with ThreadPoolExecutor() as beside:
        holding = beside.submit(busy.collect)
        warm_up(spark, functools.partial(_note_process, folder=tmp_path))
        holding.result()
    assert len(list(tmp_path.iterdir())) == 2


def test_no_more_workers_are_asked_for_than_there_are_cores(spark: SparkSession, tmp_path: Path) -> None:
    settings = spark.sparkContext._jsc.sc().conf()
    settings.set("spark.default.parallelism", "8")
    try:
        assert spark.sparkContext.defaultParallelism == 8
        warm_up(spark, functools.partial(_note_process, folder=tmp_path))
    finally:
        settings.remove("spark.default.parallelism")
    assert len(list(tmp_path.iterdir())) == 2


def test_java_is_asked_for_no_function_twice(spark: SparkSession, java_calls: list[tuple[str, str]]) -> None:
    rows = spark.range(3).select(F.when(F.col("id") > F.lit(1), F.struct("id")).alias("large"))
    assert [row["large"] for row in rows.collect()] == [None, None, (2,)]
    looked_up = [command for command, _ in java_calls if command.startswith("r\n")]
    assert java_calls and not [command for command in looked_up if "functions" in command or "PythonUtils" in command]


@pytest.fixture
def hadoop_settings(spark: SparkSession) -> Iterator[Any]:
    settings = spark.sparkContext._jsc.hadoopConfiguration()
    yield settings
    settings.reloadConfiguration()
    hadoop = java_class(spark, "org.apache.spark.deploy.SparkHadoopUtil").get()
    hadoop.appendS3AndSparkHadoopHiveConfigurations(spark.sparkContext._jsc.sc().conf(), settings)


def test_without_hadoops_defaults_a_table_is_written_and_read_and_sparks_own_settings_hold(
    spark: SparkSession, hadoop_settings: Any, tmp_path: Path
) -> None:
    of_spark = hadoop_settings.get("parquet.page.verify-checksum.enabled"), hadoop_settings.get("io.file.buffer.size")
    clear_hadoop_defaults(spark, str(tmp_path))
    assert hadoop_settings.size() < 50
    assert hadoop_settings.get("yarn.acl.enable") is None
    assert of_spark == ("true", "65536")
    assert of_spark == (
        hadoop_settings.get("parquet.page.verify-checksum.enabled"),
        hadoop_settings.get("io.file.buffer.size"),
    )
    path = str(tmp_path / "table")
    for _ in range(2):
        spark.range(3).write.format("delta").mode("append").save(path)
    numbers = spark.read.format("delta").load(path)
    assert sorted(row["id"] for row in numbers.collect()) == [0, 0, 1, 1, 2, 2]
    # A folder of the user's own files.
    numbers.write.csv(str(tmp_path / "csv"), compression="gzip")
    assert spark.read.csv(str(tmp_path / "csv")).count() == 6
    # Nothing has brought them back.
    assert hadoop_settings.size() < 50


@pytest.mark.parametrize(
    "places", [("s3a://bucket/staging",), ("hdfs://host/staging", "/files"), ("/staging", "s3a://bucket/files")]
)
def test_hadoops_defaults_stay_where_a_place_is_on_another_store(
    spark: SparkSession, hadoop_settings: Any, places: tuple[str, ...]
) -> None:
    clear_hadoop_defaults(spark, *places)
    assert hadoop_settings.get("fs.s3a.impl") == "org.apache.hadoop.fs.s3a.S3AFileSystem"
    assert hadoop_settings.size() > 300


def test_hadoops_defaults_stay_where_the_default_store_is_another(spark: SparkSession, hadoop_settings: Any) -> None:
    before = hadoop_settings.get("fs.defaultFS")
    hadoop_settings.set("fs.defaultFS", "hdfs://host")
    try:
        clear_hadoop_defaults(spark, "/staging")
        assert hadoop_settings.size() > 300
    finally:
        hadoop_settings.set("fs.defaultFS", before)


@pytest.mark.parametrize("name", ["core-site.xml", "yarn-site.xml"])
def test_hadoops_defaults_stay_where_the_user_has_settings_of_hadoop(
    spark: SparkSession, hadoop_settings: Any, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("<configuration/>")
    folder = java_class(spark, "java.io.File")(str(tmp_path)).toURI().toURL()
    urls = spark.sparkContext._gateway.new_array(java_class(spark, "java.net.URL"), 1)  # type: ignore[union-attr]
    urls[0] = folder
    own = hadoop_settings.getClassLoader()
    hadoop_settings.setClassLoader(java_class(spark, "java.net.URLClassLoader")(urls, own))
    try:
        clear_hadoop_defaults(spark, str(tmp_path))
        assert hadoop_settings.size() > 300
    finally:
        hadoop_settings.setClassLoader(own)
