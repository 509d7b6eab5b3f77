"""A Spark session with the settings for years of data, as with the launcher's --bulk."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from pyspark.sql import SparkSession

from spark_app.spark.quick_start import clear_hadoop_defaults
from spark_app.spark.session import build_session

_PROFILE = Path(__file__).resolve().parents[1] / "conf" / "spark-bulk.conf"


def build_bulk_session(**changed: str) -> SparkSession:
    """Build it on two cores; `changed` are settings of the driver, here memory="768m"."""
    arguments = ["--properties-file", str(_PROFILE), "--load-spark-defaults"]
    for name, value in changed.items():
        arguments += ["--conf", f"spark.driver.{name}={value}"]
    os.environ["PYSPARK_SUBMIT_ARGS"] = shlex.join([*arguments, "pyspark-shell"])
    spark = build_session("benchmarks", master="local[2]")
    clear_hadoop_defaults(spark)
    spark.sparkContext.setLogLevel("OFF")
    return spark
