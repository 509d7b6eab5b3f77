"""Passwords and TLS: they reach the broker from the launcher on, and nothing else."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from spark_app.storage.database import Database
from tests.integration.world import PROJECT
from tests.kafka.broker import PASSWORD, USER, KafkaBroker
from tests.kafka.topics import read_topic
from tests.storage.logins import url_of

DEBUG_LOG = """
status = off
appender.file.type = File
appender.file.name = file
appender.file.fileName = {folder}/debug.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %c: %m%n%ex
rootLogger.level = debug
rootLogger.appenderRef.file.ref = file
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "events").mkdir()
    (tmp_path / "log4j2.properties").write_text(DEBUG_LOG.format(folder=tmp_path))
    return tmp_path


def submit(job: str, *arguments: str, home: Path, database: Database, **kafka: str) -> subprocess.CompletedProcess[str]:
    """Run a job with Spark's event log on and all loggers at DEBUG; no process may show the password meanwhile."""
    settings = {f"SPARK_APP_KAFKA__{name.upper()}": value for name, value in kafka.items() if name != "password"}
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "DATABASE_", "KAFKA_"))}
    env |= {"SPARK_APP_HOME": str(home), "DATABASE_URL": url_of(database), "KAFKA_PASSWORD": kafka["password"]}
    env["SPARK_SUBMIT_OPTS"] = f"-Dlog4j2.configurationFile={home}/log4j2.properties -Duser.timezone=UTC"
    events = ["--conf", "spark.eventLog.enabled=true", "--conf", f"spark.eventLog.dir=file://{home}/events"]
    events += ["--conf", "spark.eventLog.compress=false"]
    command = [str(PROJECT / "spark_jobs_launcher.sh"), *events, job, *arguments]
    ended, seen = threading.Event(), set[str]()
    watcher = threading.Thread(target=watch_processes, args=(ended, seen, kafka["password"]))
    watcher.start()
    try:
        return subprocess.run(
            command, env=env | settings, cwd=home, capture_output=True, text=True, timeout=500, check=False
        )
    finally:
        ended.set()
        watcher.join()
        assert seen == set()


def watch_processes(ended: threading.Event, seen: set[str], password: str) -> None:
    while not ended.wait(0.2):
        for line in command_lines():
            if password in line:
                seen.add(line)


def command_lines() -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue


def shown_in(folder: Path, text: str) -> list[str]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert any(file.suffix == ".log" and file.stat().st_size for file in files)
    return [str(file) for file in files if text.encode() in file.read_bytes()]


def test_a_password_and_tls_reach_the_broker_and_are_shown_nowhere(
    broker: KafkaBroker, topic: str, database: Database, other: Database, home: Path
) -> None:
    kafka = {"topic": topic, "sasl_username": USER, "timeout_seconds": "60"}
    plain = kafka | {"bootstrap_servers": broker.sasl_servers, "security_protocol": "SASL_PLAINTEXT"}
    tls = kafka | {"bootstrap_servers": broker.tls_servers, "security_protocol": "SASL_SSL"}
    tls["ssl_ca_file"] = str(broker.ca_file)

    wrong = dict(plain, timeout_seconds="3", password="another-s3cret")
    refused = submit("stage1_etf_ohlc", "--source", "synthetic", home=home, database=database, **wrong)
    assert refused.returncode == 0, refused.stderr
    assert "messages are owed to Kafka" in refused.stdout
    assert "Authentication failed" in refused.stdout

    sent = submit("stage1_etf_ohlc", "--source", "synthetic", home=home, database=database, **tls, password=PASSWORD)
    assert sent.returncode == 0, sent.stderr
    assert "messages sent to Kafka" in sent.stdout

    replayed = submit("replay_topic", home=home, database=other, **tls, password=PASSWORD)
    assert replayed.returncode == 0, replayed.stderr
    with database.connect() as one, other.connect() as another:
        query = "SELECT * FROM collected_daily_etf_ohlc ORDER BY 1, 2"
        rows = one.execute(query).fetchall()
        assert len(rows) == len([r for r in read_topic(broker.servers, topic) if "etf" in r.key["table"]]) > 0
        assert rows == another.execute(query).fetchall()

    stranger = dict(tls, timeout_seconds="3", password="another-s3cret")
    turned_away = submit("replay_topic", home=home, database=other, **stranger)
    assert turned_away.returncode == 69
    assert turned_away.stderr.startswith("replay_topic: cannot read from Kafka at ")
    assert "Traceback" not in turned_away.stderr

    for done in (refused, sent, replayed, turned_away):
        for secret in (PASSWORD, "another-s3cret"):
            assert secret not in done.stdout + done.stderr
    assert shown_in(home, PASSWORD) + shown_in(home, "another-s3cret") == []
