"""docker-compose.yml by podman-compose: the database, the cluster, Kafka, and jobs on them."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.containers.conftest import ROOT
from tests.containers.engine import RUN_SECONDS, Engine

AS_OF, NEXT = "2024-05-10", "2024-05-13"
PROJECT = "spark_app_test"


@dataclass(frozen=True)
class Services:
    """The services of the compose file."""

    environment: dict[str, str]

    def compose(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run podman-compose."""
        program = Path(sys.executable).with_name("podman-compose")
        path = f"{program.parent}{os.pathsep}{self.environment['PATH']}"
        return subprocess.run(
            [program, "--project-name", PROJECT, "--profile", "job", "--profile", "kafka", *command],
            env={**self.environment, "PATH": path},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )

    def job(self, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run a job; who waits for its services are the fixtures, for podman runs health checks by systemd only."""
        return self.compose("run", "--rm", "--no-deps", "-T", *options, "app", *arguments)

    def start(self, *names: str) -> None:
        """Start services of these names."""
        started = self.compose("up", "--detach", "--no-build", *names)
        assert started.returncode == 0, started.stdout + started.stderr

    def wait_for(self, service: str, *check: str) -> None:
        """Wait until a command in a service ends well."""
        deadline = time.monotonic() + 180
        while self.compose("exec", "-T", service, *check).returncode:
            assert time.monotonic() < deadline, self.compose("logs", service).stdout
            time.sleep(1)


@pytest.fixture(scope="module")
def services(
    engine: Engine, image: str, postgres_image: str, kafka_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    password = tmp_path_factory.mktemp("secrets") / "database_password"
    password.write_text(secrets.token_hex(24))
    password.chmod(0o444)
    chosen = {
        "SPARK_APP_IMAGE": image,
        "POSTGRES_IMAGE": postgres_image,
        "KAFKA_IMAGE": kafka_image,
        "DATABASE_PASSWORD_FILE": str(password),
        "SOURCE": "synthetic",
    }
    services = Services(engine.environment | chosen)
    services.start("postgres", "spark-master", "spark-worker")
    # The health check of the compose file.
    services.wait_for("postgres", "pg_isready", "--host", "127.0.0.1", "--username", "spark_app")
    yield services
    services.compose("down", "--volumes", "--timeout", "1")


@pytest.fixture
def services_with_kafka(services: Services) -> Services:
    """The same services, Kafka among them, and jobs that send to it."""
    services.start("kafka")
    services.wait_for("kafka", "bash", "-c", "</dev/tcp/kafka/9092")
    return Services(services.environment | {"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092"})


def test_a_job_runs_on_the_cluster_and_leaves_its_results_in_the_database(services: Services) -> None:
    done = services.job("daily_pipeline", "--as-of", AS_OF)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    query = "SELECT as_of_date, SUM(portfolio_weight) FROM analytics_portfolio_allocation GROUP BY 1"
    assert services.job("psql", "-Atc", query).stdout.split() == [f"{AS_OF}|1.00000000"]
    assert "Registered app" in services.compose("logs", "spark-master").stdout


def test_what_a_job_commits_goes_to_kafka_and_comes_back_from_there(services_with_kafka: Services) -> None:
    services = services_with_kafka
    done = services.job("daily_pipeline", "--as-of", NEXT)
    assert (done.returncode, "pending for Kafka" in done.stdout) == (0, False), (
        done.stdout[-4000:] + done.stderr[-4000:]
    )
    services.job("psql", "-c", "CREATE DATABASE copy")
    copy = ("-e", "DATABASE_URL=postgresql://spark_app@postgres:5432/copy?sslmode=disable")
    replayed = services.job("replay_topic", options=copy)
    assert replayed.returncode == 0, replayed.stdout[-4000:] + replayed.stderr[-4000:]
    query = f"SELECT * FROM analytics_portfolio_allocation WHERE as_of_date = '{NEXT}' ORDER BY ticker"
    portfolio = services.job("psql", "-Atc", query).stdout
    assert NEXT in portfolio
    assert services.job("psql", "-Atc", query, options=copy).stdout == portfolio


def test_exit_codes_come_through(services: Services) -> None:
    assert services.job("stage1_etf_ohlc", "--as-of", "tomorrow").returncode == 2
    # The database knows made-up data only.
    mixed = services.job("stage1_etf_ohlc", "--source", "yahoo")
    assert (mixed.returncode, "synthetic" in mixed.stdout + mixed.stderr) == (2, True)


def test_the_password_stands_in_no_container(engine: Engine, services: Services) -> None:
    password = Path(services.environment["DATABASE_PASSWORD_FILE"]).read_text()
    names = engine.command("podman", "ps", "--all", "--quiet").stdout.split()
    assert names
    assert password not in engine.command("podman", "inspect", *names).stdout
