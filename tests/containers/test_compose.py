"""docker-compose.yml by podman-compose: the database, the cluster, and jobs on them. Kafka's image is not to be had."""

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

pytestmark = pytest.mark.containers

AS_OF = "2024-05-10"
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
            [program, "--project-name", PROJECT, "--profile", "job", *command],
            env={**self.environment, "PATH": path},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )

    def job(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a job; who waits for its services is the fixture, for podman runs health checks by systemd only."""
        return self.compose("run", "--rm", "--no-deps", "-T", "app", *arguments)

    def wait_for_database(self) -> None:
        """Wait until the health check of the compose file is content."""
        deadline = time.monotonic() + 120
        check = ("pg_isready", "--host", "127.0.0.1", "--username", "spark_app")
        while self.compose("exec", "-T", "postgres", *check).returncode:
            assert time.monotonic() < deadline, self.compose("logs", "postgres").stdout
            time.sleep(1)


@pytest.fixture(scope="module")
def services(
    engine: Engine, image: str, postgres_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    password = tmp_path_factory.mktemp("secrets") / "database_password"
    password.write_text(secrets.token_hex(24))
    password.chmod(0o444)
    chosen = {
        "SPARK_APP_IMAGE": image,
        "POSTGRES_IMAGE": postgres_image,
        "DATABASE_PASSWORD_FILE": str(password),
        "SOURCE": "synthetic",
    }
    services = Services(engine.environment | chosen)
    started = services.compose("up", "--detach", "--no-build", "postgres", "spark-master", "spark-worker")
    assert started.returncode == 0, started.stdout + started.stderr
    services.wait_for_database()
    yield services
    services.compose("down", "--volumes", "--timeout", "1")


def test_a_job_runs_on_the_cluster_and_leaves_its_results_in_the_database(services: Services) -> None:
    done = services.job("daily_pipeline", "--as-of", AS_OF)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    query = "SELECT as_of_date, SUM(portfolio_weight) FROM analytics_portfolio_allocation GROUP BY 1"
    assert services.job("psql", "-Atc", query).stdout.split() == [f"{AS_OF}|1.00000000"]
    assert "Registered app" in services.compose("logs", "spark-master").stdout


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
