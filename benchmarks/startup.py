"""The daily pipeline beside a bare Spark session, and the help texts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.report import Measurement, best_in_turns, best_seconds

_ROOT = Path(__file__).resolve().parents[1]
_LAUNCHER = _ROOT / "spark_jobs_launcher.sh"
_SESSION_ONLY = "from pyspark.sql import SparkSession\nSparkSession.builder.getOrCreate().stop()\n"


def measure() -> list[Measurement]:
    """Time a synthetic day as one application, a bare session with Spark's defaults, and every `--help`."""
    with tempfile.TemporaryDirectory(prefix="spark_app-bench-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        bare, day, again = best_in_turns(
            lambda: _bare_session(place),
            lambda: _synthetic_day(place, "--refresh"),
            lambda: _synthetic_day(place),
        )
    jobs = sorted(path.stem for path in (_ROOT / "jobs").glob("*.py"))
    helps = {job: best_seconds(partial(_help, job)) for job in jobs}
    slowest = max(helps, key=lambda job: helps[job])
    return [
        Measurement("spark-submit with Spark's defaults that only starts a session", bare, "s"),
        Measurement("daily pipeline on the synthetic market, one application", day, "s"),
        Measurement("the same again, with everything cached", again, "s"),
        Measurement("daily pipeline / bare session", day / bare, "x", 3.0),
        Measurement(f"--help, the slowest ({slowest})", helps[slowest], "s", 0.3),
    ]


def _bare_session(place: Path) -> None:
    script = place / "session.py"
    script.write_text(_SESSION_ONLY)
    (place / "conf").mkdir(exist_ok=True)
    spark = next((_ROOT / ".venv" / "lib").glob("python3*/site-packages/pyspark"))
    environment = {**os.environ, "SPARK_HOME": str(spark), "SPARK_CONF_DIR": str(place / "conf")}
    environment["PYSPARK_PYTHON"] = sys.executable
    _run([str(spark / "bin" / "spark-submit"), str(script)], environment)


def _synthetic_day(place: Path, *arguments: str) -> None:
    environment = {**os.environ, "SPARK_APP_HOME": str(place / "home")}
    _run([str(_LAUNCHER), "daily_pipeline", "--source", "synthetic", "--force", *arguments], environment)


def _help(job: str) -> None:
    _run([str(_LAUNCHER), job, "--help"], dict(os.environ))


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{command[-1]} ended with {done.returncode}: {done.stderr[-2000:]}")
