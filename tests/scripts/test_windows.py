"""The runners for Windows, by reading them, and the jobs without the modules that only Unix has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "scripts" / "windows"
RUNNERS = ["backfill_etf_benchmarks", "staggered_sector_backfill"]
FILES = [*RUNNERS, "run_job"]


def read(name: str) -> str:
    return (FOLDER / f"{name}.bat").read_bytes().decode("ascii").replace("\r\n", "\n")


@pytest.mark.parametrize("name", FILES)
def test_every_line_ends_as_windows_wants_it_also_after_a_checkout(name: str) -> None:
    content = (FOLDER / f"{name}.bat").read_bytes()
    assert content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r") > 5
    asked = ["git", "check-attr", "eol", f"scripts/windows/{name}.bat"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        assert done.stdout.endswith("eol: crlf\n")


@pytest.mark.parametrize("name", RUNNERS)
def test_a_runner_names_a_job_that_exists_and_passes_arguments_and_exit_code_on(name: str) -> None:
    assert (ROOT / "jobs" / f"{name}.py").is_file()
    assert read(name).splitlines()[-3:] == [
        f'set "JOB={name}"',
        'call "%~dp0run_job.bat" %*',
        "exit /b %ERRORLEVEL%",
    ]


def test_the_job_gets_the_arguments_and_its_exit_code_is_the_last_word() -> None:
    before, after = read("run_job").split(' "%ROOT%\\jobs\\%JOB%.py" %*\n')
    assert before.endswith('\n"%PYTHON%"')
    assert after.startswith("exit /b %ERRORLEVEL%\n")


def test_whatever_is_missing_is_said_on_stderr_and_ends_with_69() -> None:
    text = read("run_job")
    complaints = dict(re.findall(r"^:(\w+)\n((?:(?!:|\n:).+\n)+)", text, re.MULTILINE))
    assert set(re.findall(r"goto (\w+)", text)) == set(complaints)
    for label, lines in complaints.items():
        said = [line for line in lines.splitlines() if line.startswith("echo ")]
        assert said, label
        assert all(line.startswith("echo %JOB%: ") and line.endswith(" 1>&2") for line in said)
        # The first one goes on into the next.
        assert ("exit /b 69" in lines) == (label != "no_environment")


@pytest.mark.parametrize("name", FILES)
def test_all_places_are_found_from_the_file_itself(name: str) -> None:
    assert not re.search(r"\b[A-Za-z]:\\|/(home|usr|opt|tmp)\b", read(name))
    named = re.findall(r'"%ROOT%\\([^"%]+)', read(name))
    for path in {part.replace("\\", "/") for part in named} - {".venv"}:
        assert (ROOT / path).exists(), path


def test_the_jobs_are_imported_where_unix_own_modules_are_missing() -> None:
    """As on Windows, where there is no embedded PostgreSQL and DATABASE_URL names another."""
    program = (
        "import sys; sys.modules.update(fcntl=None, pwd=None)\n"
        "import spark_app.cli.main, spark_app.pipeline.execution\n"
        "import spark_app.storage.postgres.database as database\n"
        "from spark_app.config.settings import DatabaseSettings\n"
        "with database.open_database(DatabaseSettings(url='postgresql://user@localhost/name')) as found:\n"
        "    print(found.place)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "localhost:5432/name\n"), done.stderr
