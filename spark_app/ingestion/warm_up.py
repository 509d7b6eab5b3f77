"""What the first stage would otherwise wait for, done beside the driver's own work. Nothing depends on it."""

from __future__ import annotations

import functools

from pyspark.sql import SparkSession

from spark_app.config.settings import Settings
from spark_app.sources.worker import import_source


def warm_up(spark: SparkSession, settings: Settings) -> None:
    """Start Python workers with their libraries: one at first, since stage 1 needs no more and a free core."""
    for number in (1, spark.sparkContext.defaultParallelism):
        worker = functools.partial(import_source, name=settings.source.name)
        spark.range(0, number, 1, number).mapInPandas(worker, "nothing int").collect()
