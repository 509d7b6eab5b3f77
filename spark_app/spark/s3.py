"""Staging on an S3-compatible store (s3a://): Hadoop's and Amazon's libraries are added to the session here.

They are in a folder of their own, so that other runs do not have them on their class path. The pipeline does not handle
credentials: Hadoop takes them from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or its own providers.
"""

from __future__ import annotations

from typing import Any

from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from spark_app.config.installation import LAUNCHER
from spark_app.errors import ServiceUnavailableError
from spark_app.spark.jars import S3, added_jars
from spark_app.spark.java import java_class

_SCHEME = "s3a://"
_FILE_SYSTEM = "org.apache.hadoop.fs.s3a.S3AFileSystem"
# Delta's default log store for S3 sees only the writes of its own driver.
_LOG_STORE = "spark.delta.logStore.s3a.impl"


def add_s3_libraries(spark: SparkSession, staging_path: str) -> None:
    """Add the libraries for s3a:// to the driver and the executors, as `--jars` does; nothing for other places.

    Raises: ServiceUnavailableError: the libraries are not installed.
    """
    if not staging_path.startswith(_SCHEME):
        return
    loader = java_class(spark, "java.lang.Thread").currentThread().getContextClassLoader()
    if _is_known(spark, loader):
        return
    jars = added_jars(S3)
    if not jars:
        raise ServiceUnavailableError(f"the libraries for staging on S3 are not installed: run `{LAUNCHER} setup s3`")
    for jar in jars:
        # The class loader that spark-submit makes for the jars of `--jars`.
        loader.addURL(java_class(spark, "java.io.File")(str(jar)).toURI().toURL())
        spark.sparkContext._jsc.addJar(str(jar))


def takes_one_writer(spark: SparkSession, staging_path: str) -> bool:
    """Say whether only one application at a time may write there: on S3, unless another log store is configured."""
    return staging_path.startswith(_SCHEME) and not spark.conf.get(_LOG_STORE, "")


def _is_known(spark: SparkSession, loader: Any) -> bool:
    try:
        java_class(spark, "java.lang.Class").forName(_FILE_SYSTEM, False, loader)
    except Py4JError:
        return False
    return True
