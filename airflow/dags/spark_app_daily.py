"""The five stages of the pipeline as an Airflow DAG, a Spark application each.

Needs Airflow 3.3 or newer with its Spark provider. This file must stay in its place in the project, or where pip
installed it: make this folder Airflow's folder of DAGs, or put a link to the file there. Stages and the trading
calendar run in the project's own environment (`make setup`, or pip's), not in Airflow's Python. The connection
`spark_default` names the master; `spark-submit` is the one on PATH, else the project's own; settings come from the
environment (SPARK_APP_..., DATABASE_URL).
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, CronDataIntervalTimetable, RetryDecision, RetryPolicy, chain
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

PROJECT = Path(__file__).resolve().parents[2]
# In a wheel the project is a folder of the package: lib/python3.11/site-packages/spark_app/installed.
IS_INSTALLED = PROJECT.name == "installed"
PROGRAMS = PROJECT.parents[4] / "bin" if IS_INSTALLED else PROJECT / ".venv" / "bin"
STAGES = tuple(sorted(file.stem for file in (PROJECT / "jobs").glob("stage[0-9]_*.py")))
RETRIES = {69: 8, 73: 8, 75: 48}
"""Exit code -> the largest number of retries: a service is unavailable, already running, rate limited."""
MOST_RETRIES = max(RETRIES.values())
RETRY_DELAY = dt.timedelta(minutes=15)


def retry_delay(
    exit_code: int | None, attempt: int, resume_at: dt.datetime | None, now: dt.datetime
) -> dt.timedelta | None:
    """Return how long to wait before a failed stage is run again; None where that would not help, or did not.

    Args:
        attempt: the number of the attempt that failed, from 1 on.
        resume_at: when a rate-limited stage can be resumed, if that is known.
    """
    if exit_code is None or attempt > RETRIES.get(exit_code, 0):
        return None
    return RETRY_DELAY if resume_at is None else max(resume_at - now, dt.timedelta())


class StageFailed(AirflowException):
    """The stage ended with an exit code that a retry may help against; `resume_at` as of `retry_delay`."""

    def __init__(self, message: str, exit_code: int, resume_at: dt.datetime | None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.resume_at = resume_at


class RetryByExitCode(RetryPolicy):
    """Retry a rate-limited stage at the time in its summary, and a service or lock that was not free later."""

    def evaluate(
        self, exception: BaseException, try_number: int = 1, max_tries: int = MOST_RETRIES, *_: Any, **__: Any
    ) -> RetryDecision:
        """Decide whether a failed attempt is retried, and when."""
        if not isinstance(exception, StageFailed):
            return RetryDecision.fail(str(exception))
        # A task that was cleared counts on; its largest number of tries was raised by as many.
        attempt = try_number - (max_tries - MOST_RETRIES)
        delay = retry_delay(exception.exit_code, attempt, exception.resume_at, dt.datetime.now(dt.UTC))
        if delay is None:
            return RetryDecision.fail(str(exception))
        if exception.resume_at is not None:
            return RetryDecision.retry(delay, f"rate limited until {exception.resume_at}")
        code = exception.exit_code
        return RetryDecision.retry(delay, f"exit code {code}: retry {attempt} of {RETRIES[code]}")


class StageOperator(SparkSubmitOperator):
    """One stage for the session completed in the data interval; skipped where none was."""

    def execute(self, context: Any) -> None:
        """Submit the stage; its exit code becomes success, a retry or a failure."""
        session = completed_session(context)
        if shutil.which("spark-submit") is None:
            os.environ["PATH"] = f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        if IS_INSTALLED:
            os.environ.update(variables_of_installation(os.environ))
        with tempfile.TemporaryDirectory() as folder:
            summary = Path(folder) / "summary.json"
            self.application_args = ["--as-of", session, "--json", str(summary)]
            try:
                super().execute(context)
            except AirflowException as error:
                exit_code = exit_code_of(error)
                if exit_code in RETRIES:
                    raise StageFailed(str(error), exit_code, resume_time(summary)) from error
                raise AirflowFailException(str(error)) from error


def variables_of_installation(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the launcher of an installed package sets for spark-submit: settings, Python, the jars of set-up."""
    shared = environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    home = environment.get("SPARK_APP_HOME") or str(Path(shared) / "spark_app")
    jars = environment.get("SPARK_ADDED_JARS") or f"{home}/spark"
    return {
        "SPARK_APP_HOME": home,
        "SPARK_CONF_DIR": str(PROJECT / "conf"),
        "PYSPARK_PYTHON": str(PROGRAMS / "python"),
        "SPARK_ADDED_JARS": jars,
        "SPARK_DIST_CLASSPATH": f"{jars}/jars/*",
    }


def completed_session(context: Any) -> str:
    """Return the last session completed at the end of the run's data interval.

    A run that was triggered without a logical date has no interval: it takes the last completed session.
    Raises: AirflowSkipException: no session was completed in the interval; an earlier run has done the last one.
    """
    start = context.get("data_interval_start")
    end = context.get("data_interval_end") or context["dag_run"].run_after
    *before, last = last_sessions(*([start, end] if start else [end]))
    if last in before:
        raise AirflowSkipException(f"no session was completed between {start} and {end} (last session: {last})")
    return last


def last_sessions(*moments: dt.datetime) -> list[str]:
    """Return the last completed session at each time, by the project's trading calendar."""
    command = [PROGRAMS / "python", PROJECT / "scripts" / "last_session.py", *[m.isoformat() for m in moments]]
    # Without Airflow's Python paths.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AirflowFailException(f"the trading calendar failed: {done.stderr.strip()}")
    return done.stdout.split()


def exit_code_of(error: AirflowException) -> int | None:
    """Read the exit code of spark-submit, which the provider has in its message only."""
    found = re.search(r"Error code is: (\d+)", str(error))
    return int(found[1]) if found else None


def resume_time(summary: Path) -> dt.datetime | None:
    """Read the resume time from a stage's summary; None where it has none."""
    try:
        stages = json.loads(summary.read_text())["stages"]
        return dt.datetime.fromisoformat(stages[-1]["resume_at"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


with DAG(
    dag_id="spark_app_daily",
    description="Sector rotation for the last completed session of New York",
    schedule=CronDataIntervalTimetable("0 9 * * 1-5", timezone="UTC"),
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": MOST_RETRIES,
        "retry_delay": RETRY_DELAY,
        "retry_policy": RetryByExitCode(),
    },
    tags=["spark_app"],
) as dag:
    chain(
        *[
            StageOperator(task_id=stage, name=stage, application=str(PROJECT / "jobs" / f"{stage}.py"))
            for stage in STAGES
        ]
    )
