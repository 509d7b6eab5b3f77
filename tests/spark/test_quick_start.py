from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from pyspark.sql import SparkSession

from spark_app.spark.quick_start import warm_up


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
