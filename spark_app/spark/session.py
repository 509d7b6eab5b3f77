"""The only place that builds a Spark session."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping

from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession

from spark_app.config.installation import LAUNCHER
from spark_app.config.secrets import keep_secrets_out_of_python_logs
from spark_app.errors import ServiceUnavailableError, SettingsError
from spark_app.spark.java import java_class
from spark_app.spark.java_errors import JAVA_ERRORS
from spark_app.spark.quick_start import remember_java_functions

_SECRET_VARIABLES = ("DATABASE_URL", "DATABASE_ADMIN_URL", "PGPASSWORD", "KAFKA_PASSWORD")
_REQUIRED = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # A speculative task would send its requests to Yahoo a second time.
    "spark.speculation": "false",
    # Adaptive execution would replace what gets no row from a shuffle by an empty relation, and lose its observations.
    "spark.sql.adaptive.optimizer.excludedRules": "org.apache.spark.sql.execution.adaptive.AQEPropagateEmptyRelation",
    # Instead of the local file system's checksum files, see `_do_without_checksum_files`.
    "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
    # Delta writes its log by another interface of Hadoop: without those files, too.
    "spark.hadoop.fs.AbstractFileSystem.file.impl": "org.apache.hadoop.fs.local.RawLocalFs",
    # Workers get the secrets that they need as arguments. Their environment can be read by other processes.
    **{f"spark.executorEnv.{name}": "" for name in _SECRET_VARIABLES},
}
# At DEBUG it logs the properties of each connection, the password among them; conf/log4j2.properties names it too, for
# executors on other machines. The whole package: several of its classes do.
_JDBC_LOGGER = "org.apache.spark.sql.execution.datasources.jdbc.connection"
_TOO_LITTLE_MEMORY = re.compile(r"System memory (\d+) must be at least (\d+)")
_JARS = {"Delta": "io/delta/sql/DeltaSparkSessionExtension.class", "PostgreSQL": "org/postgresql/Driver.class"}


def build_session(app_name: str, *, master: str | None = None, extra: Mapping[str, str] | None = None) -> SparkSession:
    """Build the session. Settings that the pipeline requires are here, tunable ones in conf/spark-defaults.conf.

    Args:
        app_name: shown in Spark's UI and logs.
        master: for tests and plain `python` only; under spark-submit the command line names it.
        extra: further settings.
    Raises: SettingsError: the driver has too little memory. ServiceUnavailableError: this Spark lacks the jars for
        Delta or PostgreSQL.
    """
    builder = SparkSession.builder.appName(app_name)
    if master is not None:
        builder = builder.master(master)
        # Spark starts workers with the first python3 on PATH; under spark-submit spark-env.sh names another.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    for key, value in {**_REQUIRED, **(extra or {})}.items():
        builder = builder.config(key, value)
    keep_secrets_out_of_python_logs()
    # They log each refused query a second time, as JSON; the class has to be PySpark's own.
    for name in ("DataFrameQueryContextLogger", "SQLQueryContextLogger"):
        PySparkLogger.getLogger(name).setLevel(logging.CRITICAL)
    try:
        spark = builder.getOrCreate()
    except JAVA_ERRORS as error:
        if too_small := _TOO_LITTLE_MEMORY.search(str(error)):
            raise SettingsError(
                f"Spark needs at least {too_small[2]} bytes of memory and has {too_small[1]}: set spark.driver.memory"
                " (or --driver-memory) to 1g or more"
            ) from error
        raise
    remember_java_functions(spark)
    _keep_secrets_out_of_java_logs(spark)
    _do_without_checksum_files(spark)
    _require_jars(spark)
    return spark


def _keep_secrets_out_of_java_logs(spark: SparkSession) -> None:
    """Let Spark's JDBC source log nothing below INFO, whatever the log settings are."""
    level = java_class(spark, "org.apache.logging.log4j.Level").INFO
    java_class(spark, "org.apache.logging.log4j.core.config.Configurator").setLevel(_JDBC_LOGGER, level)


def _do_without_checksum_files(spark: SparkSession) -> None:
    """Neither write nor verify the files `.NAME.crc` that Hadoop keeps beside each local file.

    A damaged or stray one makes a sound file unreadable. The pages of Parquet files have checksums of their own.
    """
    systems = java_class(spark, "org.apache.hadoop.fs.FileSystem")
    local = systems.getLocal(spark.sparkContext._jsc.hadoopConfiguration())
    local.setVerifyChecksum(False)
    local.setWriteChecksum(False)


def _require_jars(spark: SparkSession) -> None:
    """Fail now, with one sentence; Spark itself would fail in the middle of a stage, with a stack trace."""
    loader = java_class(spark, "org.apache.spark.util.Utils").getContextOrSparkClassLoader()
    missing = [name for name, resource in _JARS.items() if loader.getResource(resource) is None]
    if missing:
        spark.stop()
        raise ServiceUnavailableError(
            f"this Spark has no jar for {' and '.join(missing)}: run `{LAUNCHER} setup`, and start jobs with {LAUNCHER}"
        )
