"""A real Kafka broker for tests: one node in KRaft mode on loopback, from the jars that set-up fetched."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

USER, PASSWORD = "spark_app", "s3cret-of-the-broker"
# Another one, so that who says PLAIN does not get in with it.
SCRAM_PASSWORD = "salted-s3cret"
_JARS = Path(__file__).resolve().parents[2] / ".venv" / "kafka-broker"
_CLUSTER = "c3BhcmtfYXBwLXRlc3RzLg"
_NEW_CERTIFICATE = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
_JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx400m")
_SETTINGS = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls},MTLS://127.0.0.1:{mtls},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SASL_SSL,MTLS:SSL
inter.broker.listener.name=PLAINTEXT
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.sasl.plain.sasl.jaas.config={plain_login}
listener.name.sasl.scram-sha-256.sasl.jaas.config={scram_login}
listener.name.tls.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.tls.plain.sasl.jaas.config={plain_login}
listener.name.tls.scram-sha-512.sasl.jaas.config={scram_login}
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
listener.name.mtls.ssl.client.auth=required
listener.name.mtls.ssl.truststore.type=PEM
listener.name.mtls.ssl.truststore.location={folder}/ca.pem
log.dirs={folder}/data
num.partitions=2
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
auto.create.topics.enable={creates_topics}
"""


@dataclass
class KafkaBroker:
    """One broker with its files in `folder`; it may be stopped and started again, and keeps its topics.

    `creates_topics`: whether the first message creates its topic.
    """

    folder: Path
    creates_topics: bool = True
    ports: dict[str, int] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def servers(self) -> str:
        """Where it listens without a password."""
        return f"127.0.0.1:{self.ports['plain']}"

    @property
    def sasl_servers(self) -> str:
        """Where it asks for a password."""
        return f"127.0.0.1:{self.ports['sasl']}"

    @property
    def tls_servers(self) -> str:
        """Where it asks for a password and speaks TLS."""
        return f"localhost:{self.ports['tls']}"

    @property
    def mtls_servers(self) -> str:
        """Where it speaks TLS with those who have a certificate of its authority."""
        return f"localhost:{self.ports['mtls']}"

    @property
    def ca_file(self) -> Path:
        """The certificate that signed the broker's."""
        return self.folder / "ca.pem"

    def create(self) -> None:
        """Write its settings and certificates, and format its storage."""
        self.ports = {name: _free_port() for name in ("plain", "sasl", "tls", "mtls", "controller")}
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        logins = {
            "plain_login": f'{login} username="{USER}" password="{PASSWORD}" user_{USER}="{PASSWORD}";',
            "scram_login": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        }
        facts = {"folder": self.folder, "creates_topics": str(self.creates_topics).lower(), **logins, **self.ports}
        (self.folder / "server.properties").write_text(_SETTINGS.format(**facts))
        make_certificates(self.folder)
        users = [f"SCRAM-SHA-{bits}=[name={USER},password={SCRAM_PASSWORD}]" for bits in (256, 512)]
        known = [word for user in users for word in ("--add-scram", user)]
        command = _java("kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", "server.properties", *known)
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, timeout=120)

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "broker.log").open("ab") as log:
            command = _java("kafka.Kafka", "server.properties")
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                AdminClient({"bootstrap.servers": self.servers, "log_level": 0}).list_topics(timeout=5)
            except KafkaException:
                time.sleep(0.2)
            else:
                return
        raise AssertionError((self.folder / "broker.log").read_text()[-3000:])

    def pause(self) -> None:
        """Let it answer nobody, though connections stay open."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill it, as a machine that goes down does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def running_broker(folder: Path, *, creates_topics: bool = True) -> Iterator[KafkaBroker]:
    """Run a new broker for the duration of the block."""
    broker = KafkaBroker(folder, creates_topics)
    broker.create()
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


def make_certificates(folder: Path) -> None:
    """Make an authority (ca.pem) and, signed by it, the broker's key and certificate (server.pem)."""
    _run([*_NEW_CERTIFICATE, "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"], folder)
    key, certificate = sign(folder, "server", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    (folder / "server.pem").write_text(key.read_text() + certificate.read_text())


def sign(folder: Path, name: str, *options: str) -> tuple[Path, Path]:
    """Make a key and a certificate for it by the authority in the folder; returns the two files."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-subj", f"/CN={name}", *options]
    _run([*_NEW_CERTIFICATE, *signed, "-keyout", str(key), "-out", str(certificate)], folder)
    return key, certificate


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)


def _java(*arguments: str) -> list[str]:
    pyspark = importlib.util.find_spec("pyspark")
    assert pyspark is not None and pyspark.origin is not None
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    assert java is not None
    class_path = f"{_JARS}/*:{Path(pyspark.origin).parent}/jars/*"
    return [java, *_JVM, "-cp", class_path, *arguments]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
