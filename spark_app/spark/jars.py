"""The jars that set-up adds to Spark's own: which there are, and in which folder.

In this project's own environment and image they are in pyspark's folder. A user's pyspark is never changed: where pip
installed the pipeline, the launcher keeps them under SPARK_APP_HOME and names their parent folder in SPARK_ADDED_JARS.
"""

from __future__ import annotations

import os
from pathlib import Path

from pyspark.find_spark_home import _find_spark_home

EVERY_RUN = "jars"
"""Delta and the PostgreSQL driver, on the class path of every run."""
KAFKA, S3 = "kafka-jars", "s3-jars"
"""For the runs that read from Kafka, or stage on S3."""


def added_jars(folder: str, pattern: str = "*.jar") -> list[Path]:
    """List the jars of one of the folders above, by name; none where set-up did not fetch them."""
    # Not from the package pyspark: under spark-submit it may be imported from a .zip elsewhere.
    parent = Path(os.environ.get("SPARK_ADDED_JARS") or _find_spark_home())
    return sorted((parent / folder).glob(pattern))
