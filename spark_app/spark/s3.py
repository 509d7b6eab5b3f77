"""Staging on an S3-compatible store (s3a://): Hadoop's and Amazon's libraries, which few need, are brought in here.

They lie beside Spark's own jars, so that a run without them starts as quickly as ever. Credentials are not ours to
handle: Hadoop takes them from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or from its own providers.
"""

from __future__ import annotations

from typing import Any

from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from spark_app.config.installation import LAUNCHER
from spark_app.errors import ServiceUnavailableError
from spark_app.spark.jars import S3, added_jars

_SCHEME = "s3a://"
_FILE_SYSTEM = "org.apache.hadoop.fs.s3a.S3AFileSystem"
# Delta's own log store for S3 knows what this driver has written, and nothing of another one.
_LOG_STORE = "spark.delta.logStore.s3a.impl"


def add_s3_libraries(spark: SparkSession, staging_path: str) -> None:
    """Let the driver and the executors find what s3a:// takes, as `--jars` would; nothing for other places.

    Raises: ServiceUnavailableError: it is not there.
    """
    if not staging_path.startswith(_SCHEME):
        return
    jvm: Any = spark.sparkContext._jvm
    loader = jvm.Thread.currentThread().getContextClassLoader()
    if _is_known(jvm, loader):
        return
    jars = added_jars(S3)
    if not jars:
        raise ServiceUnavailableError(
            f"staging on S3 takes libraries that are not there yet: run `{LAUNCHER} setup s3`"
        )
    for jar in jars:
        # The loader that spark-submit makes for the jars of a user.
        loader.addURL(jvm.java.io.File(str(jar)).toURI().toURL())
        spark.sparkContext._jsc.addJar(str(jar))


def takes_one_writer(spark: SparkSession, staging_path: str) -> bool:
    """Say whether one application at a time may write there: on S3, unless Delta was given another log store."""
    return staging_path.startswith(_SCHEME) and not spark.conf.get(_LOG_STORE, "")


def _is_known(jvm: Any, loader: Any) -> bool:
    try:
        jvm.java.lang.Class.forName(_FILE_SYSTEM, False, loader)
    except Py4JError:
        return False
    return True
