"""Runs on a cluster: what its machines must reach, and what each run sends to them.

Each machine needs Java, Spark and a Python with the libraries of `requirements/runtime.in`, by default at the same path
as here. Each run sends the pipeline itself and the jars that Spark lacks.
"""

from __future__ import annotations

import contextlib
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from spark_app.config.installation import write_package
from spark_app.config.settings import DatabaseSettings, Settings
from spark_app.errors import ServiceUnavailableError, UsageError
from spark_app.spark.jars import EVERY_RUN, added_jars

_PACKAGE = Path(__file__).parents[1]
_SENT_JARS = ("delta-spark_*.jar", "delta-storage-*.jar", "postgresql-*.jar")
# As in the launcher and in conf/spark-env.sh.
_MASTER = re.compile(
    r"local(\[([1-9][0-9]*|\*)(,[1-9][0-9]*)?\])?|local-cluster\[.*\]|spark://[^/]+:[0-9]+|yarn|k8s://.+"
)
_STANDALONE = "spark://"
_CONNECT_SECONDS = 10.0


def configured_master() -> str:
    """Return the master that spark-submit or conf/spark-defaults.conf names."""
    SparkContext._ensure_initialized()
    return SparkConf().get("spark.master", "local") or "local"


def is_local(master: str) -> bool:
    """Say whether everything runs in the driver's process."""
    return re.fullmatch(r"local(\[.*\])?", master) is not None


def is_on_this_machine(master: str) -> bool:
    """Say whether no other machine takes part: a local master, or a cluster whose masters are all on loopback."""
    if master.startswith("local"):
        return True
    hosts = [host for host, _ in _standalone_masters(master)]
    return bool(hosts) and all(re.fullmatch(r"localhost|127(\.\d+){3}|::1", host) for host in hosts)


def check_cluster(master: str, settings: Settings, database: DatabaseSettings) -> None:
    """Refuse a cluster that cannot do the work; Spark itself would try for a minute.

    Raises: UsageError: there is no such master, or its machines cannot reach the database or the staging tables.
        ServiceUnavailableError: no master of a standalone cluster answers.
    """
    if not _MASTER.fullmatch(master):
        raise UsageError(f"invalid master '{master}': expected local[N], spark://HOST:PORT, yarn or k8s://URL")
    if not is_on_this_machine(master):
        if database.url is None:
            raise UsageError(
                f"the machines of {master} cannot reach the embedded database: name one that they can (DATABASE_URL)"
            )
        if not settings.staging.path:
            raise UsageError(
                f"the machines of {master} cannot reach {settings.staging_path}: name a place for staging that they"
                f" can (staging.path: s3a://..., hdfs://... or a folder that all of them share)"
            )
    masters = _standalone_masters(master)
    if masters and not any(_answers(host, port) for host, port in masters):
        raise ServiceUnavailableError(f"no Spark master answers at {master}")


@contextlib.contextmanager
def shipped(spark: SparkSession) -> Iterator[None]:
    """Send the pipeline and its jars to the executors of a cluster, for the duration of the block.

    The driver keeps the package that it has imported: a .zip has no conf/ beside it. A package that Spark itself
    brought (--py-files) is not sent again.
    """
    context = spark.sparkContext
    with tempfile.TemporaryDirectory(prefix="spark_app-") as folder:
        if not is_local(context.master or "local"):
            if _PACKAGE.is_dir():
                context.addPyFile(str(write_package(Path(folder) / "spark_app.zip")))
            # A cluster's Spark may lack them.
            for jar in (jar for pattern in _SENT_JARS for jar in added_jars(EVERY_RUN, pattern)):
                context._jsc.addJar(str(jar))
        yield


def _standalone_masters(master: str) -> list[tuple[str, int]]:
    """Return host and port of each master in spark://host:port,host:port; nothing for another kind of cluster."""
    if not master.startswith(_STANDALONE):
        return []
    found = re.findall(r"([^,\s]+?):(\d+)(?:,|$)", master.removeprefix(_STANDALONE))
    return [(host.strip("[]"), int(port)) for host, port in found]


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), _CONNECT_SECONDS):
            return True
    except (OSError, OverflowError):
        return False
