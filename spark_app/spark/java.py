"""Java's classes and Hadoop's file systems, as the driver uses them through Py4J."""

from __future__ import annotations

from typing import Any

from pyspark.sql import SparkSession


def java_class(spark: SparkSession, name: str) -> Any:
    """Return the class of this full name.

    `jvm.org.apache...` would look for a class in all jars at each dot.
    """
    return getattr(spark.sparkContext._jvm, name)


def hadoop_path(spark: SparkSession, path: str) -> tuple[Any, Any]:
    """Return Hadoop's file system of a path or URL, and its `Path` there."""
    place = java_class(spark, "org.apache.hadoop.fs.Path")(path)
    return place.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration()), place
