"""A standalone Spark cluster on loopback: a master and two workers, with Spark as it is without this project."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyspark

from tests.cluster.servers import free_port, server, wait_until

_SPARK = Path(pyspark.__file__).parent
_LEFT_OUT = ("jars", "kafka-jars", "s3-jars", "conf")
_OUR_JARS = ("delta-", "postgresql-")
_WORKERS = 2
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

SMALL_EXECUTORS = (
    *("--conf", "spark.executor.memory=512m"),
    *("--conf", "spark.executor.extraJavaOptions=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"),
)


@dataclass(frozen=True)
class Cluster:
    """Where its master listens, and the processes of its workers."""

    master: str
    workers: tuple[int, ...]

    def executors(self) -> list[int]:
        """The pids of the executors that run now."""
        listed = subprocess.run(
            ["ps", "-ww", "-eo", "pid,pgid,args"], capture_output=True, text=True, check=True
        ).stdout
        rows = [line.split(maxsplit=2) for line in listed.splitlines()[1:]]
        ours = [(pid, said) for pid, group, said in rows if int(group) in self.workers]
        return [int(pid) for pid, said in ours if "CoarseGrainedExecutorBackend" in said and said.startswith("/")]


def plain_spark(folder: Path) -> Path:
    """Make a Spark home as any cluster has: without the jars and the settings of this project."""
    (folder / "jars").mkdir(parents=True)
    for part in _SPARK.iterdir():
        if part.name not in _LEFT_OUT:
            (folder / part.name).symlink_to(part)
    for jar in (_SPARK / "jars").glob("*.jar"):
        if not jar.name.startswith(_OUR_JARS):
            (folder / "jars" / jar.name).symlink_to(jar)
    return folder


def plain_python(folder: Path) -> Path:
    """Make a Python environment that has the libraries, but not `spark_app`; returns its folder."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    # What .pth files of that folder name, as spark_app.pth does, is not followed from here.
    (packages / "libraries.pth").write_text(f"{_SPARK.parent}\n")
    probe = [str(folder / "bin" / "python"), "-c", "import pandas, spark_app"]
    done = subprocess.run(probe, cwd=folder, capture_output=True, text=True, check=False)
    assert "No module named 'spark_app'" in done.stderr
    return folder


@contextlib.contextmanager
def standalone_cluster(folder: Path) -> Iterator[Cluster]:
    """Keep a master and two workers of one core running for the duration of the block."""
    home, port, page = plain_spark(folder / "spark"), free_port(), free_port()
    program = home / "bin" / "spark-class"
    environment = {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    address = ["--host", "127.0.0.1"]
    master = [program, "org.apache.spark.deploy.master.Master", *address, "--port", port, "--webui-port", page]
    worker = [program, "org.apache.spark.deploy.worker.Worker", *address, "--port", 0, "--webui-port", 0]
    worker += ["--cores", 1, "--memory", "1g"]
    url = f"spark://127.0.0.1:{port}"
    logs = [folder / f"{name}.log" for name in ("master", *range(_WORKERS))]
    with contextlib.ExitStack() as servers:
        servers.enter_context(server([str(part) for part in master], logs[0], environment))
        wait_until(lambda: _alive_workers(page) == 0, "the master", logs[0])
        workers = [
            servers.enter_context(
                server([str(part) for part in [*worker, "--work-dir", log.with_suffix(""), url]], log, environment)
            )
            for log in logs[1:]
        ]
        wait_until(lambda: _alive_workers(page) == _WORKERS, "the workers", *logs)
        yield Cluster(url, tuple(os.getpgid(process.pid) for process in workers))


def _alive_workers(page: int) -> int:
    with _DIRECT.open(f"http://127.0.0.1:{page}/json/", timeout=10) as answer:
        alive: int = json.load(answer)["aliveworkers"]
        return alive
