"""Spark's settings for millions of rows, for a part of a run; conf/spark-bulk.conf has them for a whole one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pyspark.sql import SparkSession

_BULK = {
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.shuffle.partitions": "16",
}


@contextlib.contextmanager
def bulk_settings(spark: SparkSession) -> Iterator[None]:
    """Compile queries, and shuffle into more partitions, for the duration of the block."""
    before = {name: spark.conf.get(name, None) for name in _BULK}
    try:
        for name, value in _BULK.items():
            spark.conf.set(name, value)
        yield
    finally:
        for name, known in before.items():
            spark.conf.unset(name) if known is None else spark.conf.set(name, known)
