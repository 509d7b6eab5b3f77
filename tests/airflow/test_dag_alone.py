"""What the DAG decides itself: which exit codes it retries, how often and when, and where it finds the project.

Airflow is replaced by a few names.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from tests.declared import STAGES

DAG_FILE = Path(__file__).resolve().parents[2] / "airflow" / "dags" / "spark_app_daily.py"
NOW = dt.datetime(2024, 5, 29, 9, tzinfo=dt.UTC)
QUARTER = dt.timedelta(minutes=15)


class Submitting:
    """spark-submit as the provider runs it: its exit code is in the message only."""

    exit_code = 0

    def __init__(self, **_: Any) -> None:
        self.application_args: list[str] = []

    def execute(self, _context: Any) -> None:
        if self.exit_code:
            raise Failure(f"Cannot execute: spark-submit ... Error code is: {self.exit_code}.")


class Failure(Exception):
    pass


class Refusal(Exception):
    pass


@pytest.fixture(autouse=True)
def few_names_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    decisions = SimpleNamespace(fail=lambda reason: ("fail", reason), retry=lambda *decided: ("retry", *decided))
    names: dict[str, dict[str, object]] = {
        "airflow.providers.apache.spark.operators.spark_submit": {"SparkSubmitOperator": Submitting},
        "airflow.sdk": {
            "DAG": MagicMock(),
            "CronDataIntervalTimetable": MagicMock(),
            "RetryDecision": decisions,
            "RetryPolicy": object,
            "chain": MagicMock(),
        },
        "airflow.sdk.exceptions": {
            "AirflowException": Failure,
            "AirflowFailException": Refusal,
            "AirflowSkipException": Refusal,
        },
    }
    for name, members in names.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def dag() -> Any:
    return load(DAG_FILE)


def load(file: Path) -> Any:
    """Load the DAG's module."""
    spec = importlib.util.spec_from_file_location("spark_app_daily", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("exit_code", "attempt", "delay"),
    [
        (69, 1, QUARTER),
        (69, 8, QUARTER),
        (69, 9, None),
        (73, 1, QUARTER),
        (73, 9, None),
        (75, 48, QUARTER),
        (75, 49, None),
        (1, 1, None),
        (2, 1, None),
        (65, 1, None),
        (130, 1, None),
        (None, 1, None),
    ],
)
def test_what_passes_by_itself_is_retried_and_nothing_else(
    dag: Any, exit_code: int | None, attempt: int, delay: dt.timedelta | None
) -> None:
    assert dag.retry_delay(exit_code, attempt, None, NOW) == delay


@pytest.mark.parametrize(("minutes", "waited"), [(40, 40), (-3, 0)])
def test_a_rate_limit_is_retried_at_the_time_that_it_named(dag: Any, minutes: int, waited: int) -> None:
    resume_at = NOW + dt.timedelta(minutes=minutes)
    assert dag.retry_delay(75, 20, resume_at, NOW) == dt.timedelta(minutes=waited)


@pytest.mark.parametrize("exit_code", [69, 73, 75])
def test_a_stage_that_can_be_retried_says_so(dag: Any, monkeypatch: pytest.MonkeyPatch, exit_code: int) -> None:
    with pytest.raises(dag.StageFailed) as failed:
        executed(dag, monkeypatch, exit_code)
    policy = dag.RetryByExitCode()
    most = {69: 8, 73: 8, 75: 48}[exit_code]
    assert policy.evaluate(failed.value, 3, 48) == ("retry", QUARTER, f"exit code {exit_code}: retry 3 of {most}")
    # Cleared after its tenth try: Airflow counts on from there, up to 58.
    assert policy.evaluate(failed.value, 11, 58)[2] == f"exit code {exit_code}: retry 1 of {most}"
    assert policy.evaluate(failed.value, try_number=most + 1, max_tries=48, context=None) == ("fail", str(failed.value))


@pytest.mark.parametrize("exit_code", [1, 2, 65])
def test_any_other_failure_ends_at_the_first_attempt(dag: Any, monkeypatch: pytest.MonkeyPatch, exit_code: int) -> None:
    with pytest.raises(Refusal, match=f"Error code is: {exit_code}"):
        executed(dag, monkeypatch, exit_code)


def test_an_error_of_airflow_itself_is_not_retried(dag: Any) -> None:
    assert dag.RetryByExitCode().evaluate(ValueError("a defect"), 1, 48) == ("fail", "a defect")


def executed(dag: Any, monkeypatch: pytest.MonkeyPatch, exit_code: int) -> None:
    monkeypatch.setattr(Submitting, "exit_code", exit_code)
    monkeypatch.setattr(dag, "last_sessions", lambda *_: ["2024-05-27", "2024-05-28"])
    dag.StageOperator().execute({"data_interval_start": NOW, "data_interval_end": NOW})


def test_in_a_checkout_the_programs_are_those_of_its_own_environment(dag: Any) -> None:
    assert str(dag.PROGRAMS) == f"{DAG_FILE.parents[2]}/.venv/bin"
    assert dag.STAGES == STAGES


def test_where_pip_installed_it_the_programs_are_those_of_that_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = tmp_path / "lib" / "python3.11" / "site-packages" / "spark_app" / "installed"
    (project / "airflow" / "dags").mkdir(parents=True)
    dag = load(Path(shutil.copy(DAG_FILE, project / "airflow" / "dags")))
    assert str(dag.PROGRAMS) == f"{tmp_path}/bin"
    assert dag.variables_of_installation({"SPARK_APP_HOME": "/data"}) == {
        "SPARK_APP_HOME": "/data",
        "SPARK_CONF_DIR": f"{project}/conf",
        "PYSPARK_PYTHON": f"{tmp_path}/bin/python",
        "SPARK_ADDED_JARS": "/data/spark",
        "SPARK_DIST_CLASSPATH": "/data/spark/jars/*",
    }
    monkeypatch.setenv("HOME", "/home/nightly")
    assert dag.variables_of_installation({})["SPARK_APP_HOME"] == "/home/nightly/.local/share/spark_app"
    assert dag.variables_of_installation({"XDG_DATA_HOME": "/x"})["SPARK_APP_HOME"] == "/x/spark_app"
