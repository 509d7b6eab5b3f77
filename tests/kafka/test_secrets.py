"""Passwords and TLS: they reach the broker from the launcher on, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from pyspark.sql import SparkSession

from spark_app.config.kafka import KafkaAccess, KafkaSettings, TopicStart
from spark_app.errors import ServiceUnavailableError, SettingsError
from spark_app.schemas import ETF_OHLC
from spark_app.storage.kafka.delivery import deliver
from spark_app.storage.kafka.reader import Span, find_span
from spark_app.storage.kafka.reader import read_topic as read_topic_by_spark
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.publishing.publication import Publication
from spark_app.storage.postgres.publishing.publish import publish
from spark_app.storage.postgres.run_log import start_run
from tests.integration.world import PROJECT
from tests.kafka.broker import PASSWORD, SCRAM_PASSWORD, USER, KafkaBroker, make_certificates, sign
from tests.kafka.topics import read_topic
from tests.storage.postgres.logins import url_of
from tests.storage.postgres.publishing.test_publish import OK, bars, run_key

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
    kafka = {"bootstrap_servers": broker.tls_servers, "security_protocol": "SASL_SSL", "topic": topic}
    kafka |= {"sasl_username": USER, "ssl_ca_file": str(broker.ca_file), "timeout_seconds": "60", "password": PASSWORD}
    sent = submit("stage1_etf_ohlc", "--source", "synthetic", home=home, database=database, **kafka)
    assert sent.returncode == 0, sent.stderr
    assert "messages sent to Kafka" in sent.stdout
    replayed = submit("replay_topic", home=home, database=other, **kafka)
    assert replayed.returncode == 0, replayed.stderr

    records = read_topic(broker.servers, topic)
    with database.connect() as one, other.connect() as another:
        for table in ("collected_daily_etf_ohlc", "collected_daily_benchmark_ohlc"):
            query = f"SELECT * FROM {table} ORDER BY 1, 2".encode()
            rows = one.execute(query).fetchall()
            assert len(rows) == len([record for record in records if record.key["table"] == table]) > 0
            assert rows == another.execute(query).fetchall()
    assert PASSWORD not in sent.stdout + sent.stderr + replayed.stdout + replayed.stderr
    assert shown_in(home, PASSWORD) == []


@pytest.mark.parametrize(
    ("protocol", "mechanism"),
    [
        ("SASL_PLAINTEXT", "PLAIN"),
        ("SASL_PLAINTEXT", "SCRAM-SHA-256"),
        ("SASL_SSL", "PLAIN"),
        ("SASL_SSL", "SCRAM-SHA-512"),
    ],
)
def test_a_password_is_needed_and_must_be_right(
    broker: KafkaBroker, topic: str, database: Database, spark: SparkSession, protocol: str, mechanism: str
) -> None:
    owe_one_message(database, spark, topic)
    settings = settings_of(broker, topic, protocol).model_copy(update={"sasl_mechanism": mechanism})
    wrong = KafkaAccess(settings.model_copy(update={"timeout_seconds": 3}), SecretStr("another-s3cret"))
    delivery = deliver(database, wrong)
    assert (delivery.sent, delivery.pending) == (0, 1)
    assert "Authentication failed" in delivery.problem
    with pytest.raises(ServiceUnavailableError, match="cannot read from Kafka at .*Authentication failed") as error:
        find_span(wrong, TopicStart())
    assert "another-s3cret" not in delivery.problem + str(error.value) + repr(wrong)
    right = PASSWORD if mechanism == "PLAIN" else SCRAM_PASSWORD
    assert_there_and_back(database, spark, KafkaAccess(settings, SecretStr(right)))


def test_a_broker_that_asks_for_a_certificate_gets_it(
    broker: KafkaBroker, topic: str, database: Database, spark: SparkSession
) -> None:
    owe_one_message(database, spark, topic)
    nameless = settings_of(broker, topic, "SSL")
    delivery = deliver(database, KafkaAccess(nameless.model_copy(update={"timeout_seconds": 3})))
    assert (delivery.sent, delivery.pending) == (0, 1)
    key, certificate = sign(broker.folder, "pipeline")
    own = {"ssl_certificate_file": str(certificate), "ssl_key_file": str(key)}
    assert_there_and_back(database, spark, KafkaAccess(nameless.model_copy(update=own)))


def test_a_key_of_another_certificate_is_a_wrong_setting(
    broker: KafkaBroker, topic: str, database: Database, spark: SparkSession
) -> None:
    owe_one_message(database, spark, topic)
    key, _ = sign(broker.folder, "one")
    _, certificate = sign(broker.folder, "another")
    mixed = {"ssl_certificate_file": str(certificate), "ssl_key_file": str(key)}
    access = KafkaAccess(settings_of(broker, topic, "SSL").model_copy(update=mixed))
    delivery = deliver(database, access)
    assert (delivery.sent, delivery.pending) == (0, 1)
    assert "Kafka's client refuses the settings: " in delivery.problem
    with pytest.raises(SettingsError, match="Kafka's client refuses the settings: "):
        find_span(access, TopicStart())


def test_a_broker_that_an_unknown_authority_signed_is_not_told_anything(
    broker: KafkaBroker, database: Database, spark: SparkSession, tmp_path: Path
) -> None:
    make_certificates(tmp_path)
    owe_one_message(database, spark, "rows")
    changed = {"ssl_ca_file": str(tmp_path / "ca.pem"), "timeout_seconds": 3}
    stranger = settings_of(broker, "rows", "SASL_SSL").model_copy(update=changed)
    delivery = deliver(database, KafkaAccess(stranger, SecretStr(PASSWORD)))
    assert (delivery.sent, delivery.pending) == (0, 1)
    assert "certificate verify failed" in delivery.problem


def settings_of(broker: KafkaBroker, topic: str, protocol: str) -> KafkaSettings:
    servers = {"SASL_PLAINTEXT": broker.sasl_servers, "SASL_SSL": broker.tls_servers, "SSL": broker.mtls_servers}
    return KafkaSettings(
        bootstrap_servers=servers[protocol],
        security_protocol=protocol,  # type: ignore[arg-type]
        sasl_username=USER if protocol.startswith("SASL") else "",
        ssl_ca_file=str(broker.ca_file) if protocol.endswith("SSL") else "",
        topic=topic,
        timeout_seconds=60,
    )


def owe_one_message(database: Database, spark: SparkSession, topic: str) -> None:
    start_run(database, run_key())
    rows = [Publication(ETF_OHLC, bars(spark, {"XLK": "10"}))]
    publish(database, run_key(), OK, origin="real", publications=rows, topic=topic)


def assert_there_and_back(database: Database, spark: SparkSession, access: KafkaAccess) -> None:
    """The pending message is sent, and read again by Spark."""
    assert deliver(database, access).sent == 1
    read = read_messages(spark, access, find_span(access, TopicStart()))
    assert json.loads(read)["row"]["ticker"] == "XLK"


def read_messages(spark: SparkSession, access: KafkaAccess, span: Span) -> bytes:
    (message,) = read_topic_by_spark(spark, access, span).collect()
    return bytes(message["value"])
