"""The only place that builds a Spark session."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from pyspark.sql import SparkSession

from spark_app.log_secrets import keep_secrets_out_of_java_logs, keep_secrets_out_of_python_logs

_SECRET_VARIABLES = ("DATABASE_URL", "DATABASE_ADMIN_URL", "PGPASSWORD")
_REQUIRED = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # A speculative or doubled task would send its requests to Yahoo a second time.
    "spark.speculation": "false",
    # Workers are handed what they need; the driver's own environment would show it to whoever may look at them.
    **{f"spark.executorEnv.{name}": "" for name in _SECRET_VARIABLES},
}


def build_session(app_name: str, *, master: str | None = None, extra: Mapping[str, str] | None = None) -> SparkSession:
    """Build the session: what the pipeline cannot do without here, everything tunable in conf/spark-defaults.conf.

    Args:
        app_name: shown in Spark's UI and logs.
        master: only for tests and plain `python`; under spark-submit the command line decides.
        extra: further settings.
    """
    builder = SparkSession.builder.appName(app_name)
    if master is not None:
        builder = builder.master(master)
        # Spark would take whatever python3 is first on PATH for its workers; spark-submit gets it from spark-env.sh.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    for key, value in {**_REQUIRED, **(extra or {})}.items():
        builder = builder.config(key, value)
    keep_secrets_out_of_python_logs()
    spark = builder.getOrCreate()
    keep_secrets_out_of_java_logs(spark)
    return spark
