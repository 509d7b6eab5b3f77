"""The image as its users run it: nobody's root, nothing to write but its volume and /tmp, exit codes as ever."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.conftest import ROOT
from tests.containers.engine import STRICT, Engine

AS_OF = "2024-05-10"
ALONE = ("--network", "none", "--env", "SPARK_APP_SOURCE__ENDPOINT=http://127.0.0.1:9")
"""An endpoint that does not answer."""


@pytest.fixture(scope="module")
def volume() -> str:
    return "spark_app_test"


@pytest.fixture(scope="module")
def demo(engine: Engine, image: str, volume: str) -> Iterator[str]:
    """What the pipeline says on a synthetic market; what it made stays in the volume."""
    done = engine.run(
        image, "daily_pipeline", "--source", "synthetic", "--as-of", AS_OF, options=(*STRICT, *mounted(volume))
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    yield done.stdout
    engine.command("podman", "volume", "rm", volume)


def mounted(volume: str) -> tuple[str, str]:
    return "--volume", f"{volume}:/var/lib/spark_app"


def inside(engine: Engine, image: str, script: str) -> str:
    """What a shell in a container prints."""
    done = engine.run(image, "-c", script, options=(*STRICT, "--entrypoint", "/bin/sh"))
    return done.stdout + done.stderr


def test_the_whole_pipeline_runs_with_nothing_but_its_volume_to_write(demo: str) -> None:
    assert re.search(rf"stage5_portfolio_allocation {AS_OF} \[synthetic\]: .* positions", demo)


def test_results_outlive_the_container(engine: Engine, image: str, demo: str, volume: str) -> None:
    query = "SELECT SUM(portfolio_weight) FROM analytics_portfolio_allocation"
    done = engine.run(image, "psql", "-Atc", query, options=(*STRICT, *mounted(volume)))
    assert done.stdout.strip().splitlines()[-1] == "1.00000000", done.stdout + done.stderr


def test_the_user_is_not_root_and_the_code_is_not_the_users(engine: Engine, image: str) -> None:
    assert inside(engine, image, "id -u; id -g").split() == ["10001", "10001"]
    owned = inside(engine, image, "find / -xdev -user 10001 -not -path '/proc/*' 2>/dev/null")
    assert set(owned.split()) <= {"/var/lib/spark_app"}


def test_the_root_is_read_only_and_no_capability_is_left(engine: Engine, image: str) -> None:
    assert "Read-only file system" in inside(engine, image, "touch /opt/spark_app/x")
    assert set(re.findall(r"Cap\w+:\s+(\w+)", inside(engine, image, "cat /proc/self/status"))) == {"0" * 16}


def test_a_mistake_ends_with_2_and_one_sentence(engine: Engine, image: str) -> None:
    done = engine.run(image, "stage1_etf_ohlc", "--as-of", "tomorrow")
    assert done.returncode == 2
    assert "'tomorrow' is no date" in done.stdout


def test_a_source_that_is_not_there_ends_with_69(engine: Engine, image: str) -> None:
    done = engine.run(image, "stage1_etf_ohlc", "--delay", "0", "--max-retries", "0", options=(*STRICT, *ALONE))
    assert done.returncode == 69, done.stdout + done.stderr


def test_a_spent_budget_ends_with_75_and_the_command_that_goes_on(engine: Engine, image: str) -> None:
    spent = ("--env", "SPARK_APP_FETCH__DAILY_REQUEST_BUDGET=1")
    done = engine.run(image, "stage1_etf_ohlc", "--delay", "0", options=(*STRICT, *ALONE, *spent))
    assert done.returncode == 75, done.stdout + done.stderr
    assert "./spark_jobs_launcher.sh stage1_etf_ohlc" in done.stdout


def test_the_image_holds_what_a_run_needs_and_no_more(engine: Engine, image: str) -> None:
    assert inside(engine, image, "ls -A /opt/spark_app").split() == [
        *(".venv", "conf", "jobs", "scripts", "spark_app", "spark_jobs_launcher.sh"),
    ]
    history = engine.command("podman", "history", "--no-trunc", image).stdout
    assert not re.search("password|secret|token", history, re.IGNORECASE)


def test_the_image_is_small_for_what_it_holds(engine: Engine, image: str) -> None:
    """Megabytes of the project with its packages and jars; pyspark as pip installs it has 540."""
    assert int(inside(engine, image, "du -sm /opt/spark_app").split()[0]) < 900


@pytest.mark.parametrize("name", ["jars", "kafka-jars", "s3-jars"])
def test_spark_has_the_jars_of_the_lock(engine: Engine, image: str, name: str) -> None:
    lines = (ROOT / "conf" / f"{name}.lock").read_text().splitlines()
    lock = [line.split() for line in lines if not line.startswith("#")]
    names = {"{1}-{2}.jar".format(*jar.split(":")): checksum for jar, checksum in lock}
    sums = inside(engine, image, f'sha256sum "$SPARK_HOME"/{name}/*.jar')
    found = {Path(file).name: checksum for checksum, file in re.findall(r"(\w{64})\s+(\S+)", sums)}
    assert names.items() <= found.items()


def test_there_is_nothing_left_to_set_up(engine: Engine, image: str) -> None:
    done = engine.run(image, "setup")
    assert (done.returncode, "an image is set up when it is built" in done.stdout) == (0, True)
    assert engine.run(image, "setup", "s3").returncode == 0


@pytest.fixture
def fetching(engine: Engine, image: str) -> Iterator[str]:
    """The name of a container whose requests are never answered, with one under way; its volume has the same name."""
    name = "spark_app_fetching"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(180)
        endpoint = f"SPARK_APP_SOURCE__ENDPOINT=http://127.0.0.1:{silent.getsockname()[1]}"
        options = (*STRICT, "--network", "host", "--env", endpoint, *mounted(name))
        job = ("stage1_etf_ohlc", "--delay", "0")
        started = engine.command("podman", "run", "--detach", "--name", name, *options, image, *job)
        assert started.returncode == 0, started.stderr
        with silent.accept()[0]:
            yield name
    engine.command("podman", "rm", "--force", "--time", "0", name)
    engine.command("podman", "volume", "rm", name)


def test_a_container_that_is_stopped_ends_in_order(engine: Engine, fetching: str) -> None:
    assert engine.command("podman", "stop", "--time", "180", fetching).returncode == 0
    assert engine.command("podman", "wait", fetching).stdout.strip() == "130"
    assert "stage1_etf_ohlc: interrupted" in engine.command("podman", "logs", fetching).stdout


def test_an_embedded_database_is_used_by_one_container_at_a_time_also_after_a_kill(
    engine: Engine, image: str, fetching: str
) -> None:
    def ask() -> subprocess.CompletedProcess[str]:
        return engine.run(image, "psql", "-Atc", "SELECT 42", options=(*STRICT, *mounted(fetching)))

    beside = ask()
    assert (beside.returncode, "is running in another container" in beside.stderr) == (69, True)
    engine.command("podman", "kill", fetching)
    engine.command("podman", "wait", fetching)
    assert ask().stdout.strip() == "42"
