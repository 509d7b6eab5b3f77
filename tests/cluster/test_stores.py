"""Staging on an S3 store and on HDFS, by settings alone, serves what staging in a folder serves."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyspark
import pytest

from spark_app.storage.postgres.locks import staging_writer_lock
from tests.cluster.market import PATIENCE_SECONDS, differing, submitted_day, worked
from tests.cluster.servers import free_port, listens, server, wait_until
from tests.cluster.standalone import SMALL_EXECUTORS, Cluster
from tests.integration.expected import Rows
from tests.integration.spying import where
from tests.integration.world import PROJECT, World

MOTO = PROJECT / ".venv" / "moto" / "bin" / "moto_server"
SPARK = Path(pyspark.__file__).parent
ACCESS_KEY, SECRET_KEY = "AKIAPIPELINE", "kEpt/Fr0m+every.log"


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, ...]]:
    """A store with one bucket, and staging in it; yields the launcher's options."""
    port, log = free_port(), tmp_path / "moto.log"
    options = staging_on_s3(port, monkeypatch)
    with server([MOTO, "-H", "127.0.0.1", "-p", str(port)], log):
        wait_until(lambda: listens(port), "the S3 store", log)
        bucket = urllib.request.Request(f"http://127.0.0.1:{port}/market", method="PUT")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(bucket, timeout=60).close()
        yield options


def staging_on_s3(port: int, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Name a store on this machine as the place of staging; returns the launcher's options."""
    monkeypatch.setenv("SPARK_APP_STAGING__PATH", "s3a://market/staging")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    settings = {"endpoint": f"http://127.0.0.1:{port}", "endpoint.region": "us-east-1", "path.style.access": "true"}
    return tuple(word for k, v in settings.items() for word in ("--conf", f"spark.hadoop.fs.s3a.{k}={v}"))


def test_a_cluster_stages_on_s3_and_no_log_has_the_secret(
    world: World, cluster: Cluster, s3: tuple[str, ...], local_tables: Mapping[str, Rows]
) -> None:
    events = world.home / "events"
    events.mkdir()
    noted = ("--conf", "spark.eventLog.enabled=true", "--conf", f"spark.eventLog.dir={events.as_uri()}")
    said = worked(world, "--master", cluster.master, *SMALL_EXECUTORS, *noted, *s3)
    assert differing(world, local_tables) == []
    assert not (world.home / "staging").exists()
    assert SECRET_KEY not in said
    assert list(events.rglob("*")) != []
    assert where(world.home, SECRET_KEY) == []


def test_on_s3_one_application_writes_at_a_time(world: World, s3: tuple[str, ...]) -> None:
    with staging_writer_lock(world.database), submitted_day(world, *s3) as process:
        assert process.wait(PATIENCE_SECONDS) == 73, process.said
    assert (
        "another run is already writing to staging, and staging on S3 takes one at a time: wait for it to end"
        in process.said
    )
    assert len(world.emulator.log) == 0


def test_a_store_that_does_not_answer_is_one_sentence(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with submitted_day(world, *staging_on_s3(free_port(), monkeypatch)) as process:
        assert process.wait(PATIENCE_SECONDS) == 69, process.said
    place = "s3a://market/staging/fetches"
    assert f"daily_pipeline: staging failed while looking for {place}: ConnectException: Conn" in process.said
    assert "Traceback" not in process.said
    assert SECRET_KEY not in process.said
    assert len(world.emulator.log) == 0


def test_staging_on_hdfs(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_tables: Mapping[str, Rows]
) -> None:
    port, log = free_port(), tmp_path / "hdfs.log"
    monkeypatch.setenv("SPARK_APP_STAGING__PATH", f"hdfs://127.0.0.1:{port}/staging")
    class_path = f"{PROJECT}/.venv/hdfs/*:{SPARK}/jars/*"
    program = Path(__file__).with_name("Dfs.java")
    options = ("-Xmx400m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
    with server(["java", *options, "-cp", class_path, program, str(port), tmp_path / "hdfs"], log):
        wait_until(lambda: "HDFS is up" in log.read_text(), "HDFS", log)
        worked(world)
        assert differing(world, local_tables) == []
        assert not (world.home / "staging").exists()
