"""Keep the database's password out of logs, at level DEBUG too.

Two libraries log it at DEBUG: Spark's JDBC source, with the properties of each connection, and Py4J, with the arguments
of each call from Python to Java, which include those of the workers (in base64).
"""

from __future__ import annotations

import logging
from typing import Any

from pyspark.sql import SparkSession

_PY4J_LOGGERS = ("py4j.clientserver", "py4j.java_gateway")
# The whole package: other classes in it log the same. conf/log4j2.properties names it too, for executors elsewhere.
_JDBC_LOGGER = "org.apache.spark.sql.execution.datasources.jdbc.connection"


def keep_secrets_out_of_python_logs() -> None:
    """Let Py4J log the methods that it calls without their arguments; idempotent."""
    for name in _PY4J_LOGGERS:
        logging.getLogger(name).addFilter(_cut_arguments)


def keep_secrets_out_of_java_logs(spark: SparkSession) -> None:
    """Let Spark's JDBC source log nothing below INFO, whatever the log settings are."""
    jvm: Any = spark.sparkContext._jvm
    log4j = jvm.org.apache.logging.log4j
    log4j.core.config.Configurator.setLevel(_JDBC_LOGGER, log4j.Level.INFO)


def _cut_arguments(record: logging.LogRecord) -> bool:
    """Keep the kind and target of a command, and the method of a call (`c`); the arguments follow, one a line."""
    message = str(record.msg)
    if message.startswith("Command to send: "):
        kind, *rest = message.splitlines()
        record.msg = "\n".join([kind, *rest[: 2 if kind.endswith(" c") else 1]])
    return True
