"""The DAG in a real Airflow, its stages by spark-submit against the emulator: what becomes of each kind of day."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.declared import STAGES
from tests.emulator import YahooEmulator
from tests.integration.fetch_market import fetch_market
from tests.integration.world import PROJECT, World, open_world

DAG_FILE = PROJECT / "airflow" / "dags" / "spark_app_daily.py"
AIRFLOW = PROJECT / ".venv-airflow" / "bin"
PAUSE_SECONDS = 20

FRIDAY, TUESDAY, WEDNESDAY = dt.date(2024, 5, 24), dt.date(2024, 5, 28), dt.date(2024, 5, 29)
MEMORIAL_DAY = dt.date(2024, 5, 27)
THURSDAY, FRIDAY_AFTER = dt.date(2024, 5, 30), dt.date(2024, 5, 31)


@dataclass(frozen=True)
class DagRun:
    """How a run ended: its state, and of each task all tries."""

    state: str
    tasks: dict[str, list[dict[str, Any]]]

    @property
    def states(self) -> list[str]:
        """The last state of each stage, in order."""
        return [self.tasks[stage][-1]["state"] for stage in STAGES]

    @property
    def tries(self) -> list[int]:
        """How often each stage was tried, in order."""
        return [self.tasks[stage][-1]["try_number"] for stage in STAGES]


@dataclass(frozen=True)
class Installation:
    """Airflow with a database of its own, and the pipeline that it runs."""

    world: World
    environment: dict[str, str]

    def airflow(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program of Airflow's environment."""
        program, *arguments = command
        return subprocess.run(
            [AIRFLOW / program, *arguments],
            env=self.environment,
            cwd=self.world.home,
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )

    def run_dag(self, day: dt.date, *, only: str | None = None) -> DagRun:
        """Run the DAG as on the morning of `day`; with `only` the other stages are marked as done."""
        self.world.emulator.log.clear()
        result = self.world.home / "result.json"
        result.unlink(missing_ok=True)
        runner = Path(__file__).with_name("run_dag.py")
        others = [f"(?!{only}).*"] if only else []
        done = self.airflow("python", runner, DAG_FILE, f"{day}T09:00:00+00:00", result, *others)
        assert result.exists(), done.stdout[-5000:] + done.stderr[-5000:]
        return DagRun(**json.loads(result.read_text()))

    def days_with_results(self) -> list[dt.date]:
        """The days for which trends are served; on this calm market nothing is held."""
        query = "SELECT DISTINCT as_of_date FROM analytics_trending_sectors ORDER BY 1"
        return [day for (day,) in self.world.query(query)]

    def runs(self) -> list[tuple[Any, ...]]:
        """What the run log has, in order."""
        return self.world.query("SELECT stage, as_of_date, status FROM logs_pipeline_run ORDER BY started_at")


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    if not (AIRFLOW / "airflow").exists():
        pytest.skip("no Airflow in .venv-airflow: `make test-airflow` makes it")
    home = Path(tempfile.mkdtemp(prefix="spark_app-airflow-"))
    # The embedded database may run as another user.
    home.chmod(0o755)
    with YahooEmulator(fetch_market(last=WEDNESDAY, sessions=60)) as emulator, open_world(home, emulator) as world:
        made = Installation(world, airflow_environment(world))
        assert made.airflow("airflow", "db", "migrate").returncode == 0
        yield made
    shutil.rmtree(home)


@pytest.fixture
def airflow(installation: Installation) -> Installation:
    """The one installation, its emulator in order again."""
    installation.world.emulator.faults.clear()
    return installation


def airflow_environment(world: World) -> dict[str, str]:
    """Airflow's own settings and the pipeline's; no spark-submit is on PATH."""
    source = {f"SPARK_APP_SOURCE__{key.upper()}": value for key, value in world.source_settings.items()}
    return {
        **source,
        "PATH": f"{AIRFLOW}:/usr/bin:/bin",
        **{name: os.environ[name] for name in ("HOME", "JAVA_HOME") if name in os.environ},
        "AIRFLOW_HOME": str(world.home / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAG_FILE.parent),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_SPARK_DEFAULT": '{"conn_type": "spark", "host": "local[2,4]"}',
        "SPARK_APP_HOME": str(world.home),
        "SPARK_APP_FETCH__DELAY_SECONDS": "0",
        # Each run asks, although a chart of an earlier one would still serve.
        "SPARK_APP_FETCH__CACHE_HOURS": "0",
        "SPARK_APP_FETCH__RATE_LIMIT_PAUSE_SECONDS": str(PAUSE_SECONDS),
    }


def test_airflow_reads_the_dag_without_complaint(airflow: Installation) -> None:
    done = airflow.airflow("airflow", "dags", "list-import-errors", "--local")
    assert (done.returncode, "No data found" in done.stdout) == (0, True), done.stdout
    assert "spark_app_daily" in airflow.airflow("airflow", "dags", "list", "--local").stdout


def test_a_normal_day_runs_the_five_stages_for_the_session_that_ended(airflow: Installation) -> None:
    run = airflow.run_dag(MEMORIAL_DAY)
    assert (run.state, run.states, run.tries) == ("success", ["success"] * 5, [1] * 5)
    assert airflow.runs() == [(stage, FRIDAY, "ok") for stage in STAGES]
    assert airflow.days_with_results() == [FRIDAY]


def test_after_a_holiday_nothing_is_done_a_second_time(airflow: Installation) -> None:
    before = airflow.runs(), airflow.world.tables()
    run = airflow.run_dag(TUESDAY)
    assert (run.state, run.states) == ("success", ["skipped"] * 5)
    assert len(airflow.world.emulator.log) == 0
    assert (airflow.runs(), airflow.world.tables()) == before


def test_after_a_rate_limit_the_stage_is_tried_again_at_the_time_that_it_named(airflow: Installation) -> None:
    airflow.world.emulator.fail("chart", times=1, after=3, status=429)
    run = airflow.run_dag(WEDNESDAY, only=STAGES[0])
    assert (run.state, run.states, run.tries) == ("success", ["success"] * 5, [2, 1, 1, 1, 1])
    limited, again = run.tasks[STAGES[0]]
    # Airflow's history calls it failed; a delay stands only where the state was up_for_retry.
    assert limited["retry_reason"].startswith("rate limited until 20")
    resume_at = dt.datetime.fromisoformat(limited["retry_reason"].removeprefix("rate limited until "))
    due = moment(limited["ended_at"]) + dt.timedelta(seconds=limited["retry_delay_seconds"])
    assert abs(due - resume_at) < dt.timedelta(seconds=5)
    assert moment(again["started_at"]) >= resume_at
    assert airflow.runs()[-2:] == [(STAGES[0], TUESDAY, "rate_limited"), (STAGES[0], TUESDAY, "ok")]


def test_a_failure_ends_the_run_at_the_first_try(airflow: Installation) -> None:
    before = airflow.world.tables()
    # The market ends on Wednesday: of Thursday there is no bar.
    run = airflow.run_dag(FRIDAY_AFTER)
    assert (run.state, run.states, run.tries) == ("failed", ["failed"] + ["upstream_failed"] * 4, [1, 0, 0, 0, 0])
    assert airflow.runs()[-1] == (STAGES[0], THURSDAY, "incomplete")
    assert airflow.world.tables() == before


def moment(text: str) -> dt.datetime:
    """Read a time of Airflow's, which is UTC."""
    read = dt.datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=dt.UTC)
