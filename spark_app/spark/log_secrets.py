"""Keeps the database's password out of logs, also where someone has turned them up to DEBUG.

Two libraries print it there: Spark's JDBC source, with the properties of each connection, and Py4J, with the arguments
of each call from Python to Java, among them what workers get (in base64).
"""

from __future__ import annotations

import logging
from typing import Any

from pyspark.sql import SparkSession

_PY4J_LOGGERS = ("py4j.clientserver", "py4j.java_gateway")
# Its neighbours say as much as it does; conf/log4j2.properties names it as well, for executors on other machines.
_JDBC_LOGGER = "org.apache.spark.sql.execution.datasources.jdbc.connection"


def keep_secrets_out_of_python_logs() -> None:
    """Let Py4J note what it calls, without the arguments; doing it again changes nothing."""
    for name in _PY4J_LOGGERS:
        logging.getLogger(name).addFilter(_cut_arguments)


def keep_secrets_out_of_java_logs(spark: SparkSession) -> None:
    """Let Spark's JDBC source say nothing below INFO, whatever the log settings are."""
    jvm: Any = spark.sparkContext._jvm
    log4j = jvm.org.apache.logging.log4j
    log4j.core.config.Configurator.setLevel(_JDBC_LOGGER, log4j.Level.INFO)


def _cut_arguments(record: logging.LogRecord) -> bool:
    """Keep of a command its kind and target, and of a call (`c`) the method; arguments come after it, a line each."""
    said = str(record.msg)
    if said.startswith("Command to send: "):
        kind, *rest = said.splitlines()
        record.msg = "\n".join([kind, *rest[: 2 if kind.endswith(" c") else 1]])
    return True
