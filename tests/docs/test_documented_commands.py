"""Every command of the documentation, and of the demo's last lines, can be typed as it stands there.

Each kind has its check: jobs' arguments go through the jobs' own parsers, SQL runs on an empty database with the
pipeline's tables, what costs nothing is really run. A line of a code block that is of no kind fails.
"""

from __future__ import annotations

import argparse
import importlib
import re
import runpy
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import psycopg
import pytest

from spark_app.cli.jobs import JOBS
from spark_app.cli.parser import build_parser
from spark_app.cli.show import build_parser as build_show_parser
from spark_app.config.settings import load_settings
from spark_app.errors import SparkAppError
from spark_app.storage.postgres.database import Database
from tests.docs.documented_commands import ROOT, commands

LAUNCHER = ROOT / "spark_jobs_launcher.sh"
DATABASE_COMMANDS = re.compile(r"db (start|stop|url|roles|dump \S+|restore( --force)? \S+)|psql")
REFUSALS = (AssertionError, OSError, SystemExit, subprocess.CalledProcessError, psycopg.Error, SparkAppError)
Run = Callable[[str], None]


class Check:
    """What is done with a command of each kind."""

    def __init__(self, sql: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sql = sql
        self.monkeypatch = monkeypatch

    def __call__(self, text: str) -> None:
        """Raises where the command could not be typed."""
        if re.match(r"(SELECT|INSERT|CREATE ROLE) ", text):
            return self.sql(text)
        if sourced := re.fullmatch(r"\. <\((.*)\)", text):
            return self(sourced[1])
        words = shlex.split(text.replace("\\", "/"))
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            self.variable(*words.pop(0).split("=", 1))
        if not words:
            return None
        kinds: dict[str, Callable[[list[str]], None]] = {
            "./spark_jobs_launcher.sh": self.launcher,
            "spark_jobs_launcher.sh": self.launcher,
            "spark-submit": self.spark_submit,
            "make": self.make,
            ".venv/bin/python": self.script,
            "pip": self.pip,
            "docker": self.docker,
            "export": self.export,
            "unset": self.unset,
            "mkdir": partial(in_empty_folder, text),
        }
        if words[0].startswith("scripts/windows/"):
            return self.windows(words)
        assert words[0] in kinds, "a kind of command that is not known here: add it, or name the block in SHOWN"
        return kinds[words[0]](words[1:])

    def variable(self, name: str, value: str) -> None:
        self.monkeypatch.setenv(name, value)
        load_settings()
        assert name.startswith(("SPARK_APP_", "DATABASE_", "KAFKA_", "AIRFLOW_CONN_", "AWS_"))

    def export(self, words: Sequence[str]) -> None:
        for word in words:
            self.variable(*word.split("=", 1))

    def unset(self, words: Sequence[str]) -> None:
        assert list(words) == ["SPARK_APP_HOME"]

    def launcher(self, words: Sequence[str]) -> None:
        options = argparse.ArgumentParser(allow_abbrev=False)
        options.add_argument("--master")
        options.add_argument("--conf", action="append")
        options.add_argument("--bulk", action="store_true")
        options.add_argument("command", nargs=argparse.REMAINDER)
        if words[0] in ("--list", "--project", "--version", "completion"):
            run_for_real(words)
        elif words[0] == "show":
            build_show_parser().parse_args(words[1:])
        elif words[0] in ("psql", "db"):
            if words[:2] == ["psql", "-c"]:
                self.sql(*words[2:])
            else:
                assert DATABASE_COMMANDS.fullmatch(" ".join(words))
        elif words[0] in ("status", "explain"):
            importlib.import_module(f"spark_app.cli.{words[0]}").build_parser().parse_args(words[1:])
        elif list(words) not in (["setup"], ["setup", "s3"]):
            job, *arguments = options.parse_args(words).command
            self.job(job, arguments)

    def job(self, job: str, arguments: Sequence[str]) -> None:
        if "--help" in arguments:
            run_for_real([job, *arguments])
        else:
            parser_of(job, self.monkeypatch).parse_args(arguments)

    def spark_submit(self, words: Sequence[str]) -> None:
        assert re.fullmatch(r"jobs/\w+\.py", words[0])
        self.job(Path(words[0]).stem, words[1:])

    def windows(self, words: Sequence[str]) -> None:
        assert (ROOT / words[0]).is_file()
        self.job(Path(words[0]).stem, words[1:])

    def make(self, words: Sequence[str]) -> None:
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert {word for word in words if not re.fullmatch(r"[A-Z_]+=.*", word)} <= targets

    def script(self, words: Sequence[str]) -> None:
        file = words[2] if list(words[:2]) == ["-m", "pytest"] else words[0]
        assert (ROOT / file).is_file()

    def pip(self, words: Sequence[str]) -> None:
        assert list(words) in (["install", "."], ["install", "spark_app"])

    def docker(self, words: Sequence[str]) -> None:
        """Read only, `make test-containers` runs the image; what stands behind its name is for the launcher."""
        if words[0] == "build":
            assert (ROOT / words[words.index("-f") + 1]).is_file()
        elif "run" in words:
            image = next(place for place, word in enumerate(words) if word in ("app", "localhost/spark_app"))
            self.launcher(words[image + 1 :])
        else:
            assert list(words) in (["compose", "up", "--detach"], ["compose", "build", "--pull"])


def in_empty_folder(text: str, _: Sequence[str]) -> None:
    """Run what makes files of its own."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["bash", "-ec", text], cwd=folder, check=True)


def run_for_real(words: Sequence[str]) -> None:
    done = subprocess.run([LAUNCHER, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def parser_of(job: str, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    """The parser of the job that a file in jobs/ runs; the job itself is not run."""
    named: list[str] = []
    monkeypatch.setattr("spark_app.cli.main.main", named.append)
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / "jobs" / f"{job}.py"), run_name="__main__")
    return build_parser(JOBS[named[0]], {})


def run_sql(connection: psycopg.Connection, statement: str) -> None:
    with connection.transaction(force_rollback=True):
        # The pages have a remedy for this.
        connection.execute("DELETE FROM logs_fetch_throttle")
        connection.execute(statement.encode())


@pytest.fixture
def check(database: Database) -> Iterator[Run]:
    """Check one command, in an environment of its own."""
    with database.connect() as connection:

        def check(text: str) -> None:
            with pytest.MonkeyPatch.context() as monkeypatch:
                Check(partial(run_sql, connection), monkeypatch)(text)

        yield check


def test_every_command_of_the_documentation_can_be_typed(check: Run) -> None:
    failures = []
    for command in commands():
        try:
            check(command.text)
        except REFUSALS as error:
            failures.append(f"{command.place}: {command.text}\n    {type(error).__name__}: {error}")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize(
    "text",
    [
        "./spark_jobs_launcher.sh no_such_job",
        "./spark_jobs_launcher.sh daily_pipeline --no-such-option",
        "./spark_jobs_launcher.sh republish --tables no_such_table",
        './spark_jobs_launcher.sh psql -c "SELECT no_such_column FROM logs_pipeline_run"',
        "./spark_jobs_launcher.sh db destroy",
        "SPARK_APP_FETCH__NO_SUCH_SETTING=1 ./spark_jobs_launcher.sh daily_pipeline",
        "make no-such-target",
        "spark-submit jobs/no_such_job.py",
        ". <(./spark_jobs_launcher.sh completion fish)",
        ".venv/bin/python scripts/no_such_script.py",
        ".venv/bin/python -m pytest tests/no_such_test.py",
        r"scripts\windows\no_such_job.bat",
        "no_such_program --help",
    ],
)
def test_a_command_that_is_wrong_is_noticed(check: Run, text: str) -> None:
    with pytest.raises(REFUSALS):
        check(text)


def test_the_pages_have_commands_of_blocks_and_of_the_running_text() -> None:
    found = list(commands())
    assert len(found) > 80
    assert {"make demo", 'psql -c "SELECT version()"', "SELECT * FROM logs_pipeline_run WHERE status = 'running'"} <= {
        command.text.removeprefix("./spark_jobs_launcher.sh ") for command in found
    }
    assert {command.place.split(":")[0] for command in found} >= {"README.md", "WORKFLOW.md", "ERRORS.md", "demo.sh"}
