"""The job `report`, and the page at the end of a pipeline."""

from __future__ import annotations

import datetime as dt
import logging
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spark_app.cli.jobs import JOBS
from spark_app.cli.main import main
from spark_app.config.installation import PROJECT_ROOT
from spark_app.config.settings import Settings
from spark_app.results import report
from spark_app.storage.postgres.database import Database
from tests.results.page.world import DAY, DAY_BEFORE, add_origin, add_trends, fill

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")


@pytest.fixture
def folder(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of its own on the test's database; the folder of its pages."""
    place = "{user}@{host}:{port}/{dbname}?sslmode=disable".format(**{"user": "spark_app", **database.parameters})
    monkeypatch.setenv("SPARK_APP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{place}".replace("@", f":{database.password}@", 1))
    return tmp_path / "home" / "reports"


@pytest.fixture
def two_days(database: Database) -> None:
    with database.connect() as connection:
        add_origin(connection, "synthetic")
        add_trends(connection, DAY_BEFORE)
        add_trends(connection, DAY)


@pytest.mark.usefixtures("two_days")
def test_the_newest_page_has_its_date_and_a_fixed_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("report", []) == 0
    assert sorted(file.name for file in folder.iterdir()) == ["report-2024-05-10.html", "report.html"]
    assert (folder / "report.html").read_bytes() == (folder / "report-2024-05-10.html").read_bytes()
    assert f"report: {folder / 'report-2024-05-10.html'}" in capsys.readouterr().out


@pytest.mark.usefixtures("two_days")
def test_a_page_of_the_past_leaves_the_newest_alone(folder: Path) -> None:
    assert main("report", ["--as-of", str(DAY_BEFORE)]) == 0
    assert [file.name for file in folder.iterdir()] == ["report-2024-05-09.html"]


@pytest.mark.usefixtures("two_days")
def test_a_page_goes_where_it_is_asked_for(folder: Path, tmp_path: Path) -> None:
    assert main("report", ["--out", str(tmp_path / "here" / "friday.html")]) == 0
    assert "10 May 2024" in (tmp_path / "here" / "friday.html").read_text()
    assert not folder.exists()


@pytest.mark.usefixtures("two_days")
def test_a_place_that_cannot_be_written_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main("report", ["--out", str(tmp_path / "file" / "page.html")]) == 2
    assert f"report: cannot write the page {tmp_path}/file/page.html: " in capsys.readouterr().err


@pytest.mark.usefixtures("two_days")
def test_without_a_browser_a_picture_is_refused_and_the_page_is_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main("report", ["--png", str(tmp_path / "page.png")]) == 69
    assert "--png needs Chromium, and none is on PATH" in capsys.readouterr().err
    assert (folder / "report.html").exists()
    assert not (tmp_path / "page.png").exists()


@pytest.mark.usefixtures("folder")
def test_without_results_the_job_says_what_to_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("report", []) == 65
    assert "report: there are no results yet: run " in capsys.readouterr().err


@pytest.mark.usefixtures("two_days")
def test_an_unfinished_page_is_never_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main("report", [])
    before = (folder / "report.html").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert main("report", []) == 2
    assert (folder / "report.html").read_bytes() == before
    assert sorted(file.name for file in folder.iterdir()) == ["report-2024-05-10.html", "report.html"]


# What runs the stages is another matter.
PIPELINE = replace(JOBS["daily_pipeline"], work="")


def run_of(database: Database, as_of: dt.date, *, is_as_of_given: bool = False) -> Any:
    request = SimpleNamespace(is_as_of_given=is_as_of_given)
    return SimpleNamespace(
        database=database, as_of=as_of, request=request, settings=Settings(), stopping=threading.Event()
    )


@pytest.mark.usefixtures("two_days")
@pytest.mark.parametrize(
    ("as_of", "is_given", "page"),
    [
        (DAY, False, "report-2024-05-10.html"),
        (DAY_BEFORE, True, "report-2024-05-09.html"),
        (dt.date(2024, 5, 13), False, "report-2024-05-10.html"),  # its stages failed: the newest results are shown
    ],
)
def test_after_a_pipeline_there_is_a_page(
    database: Database, folder: Path, as_of: dt.date, is_given: bool, page: str
) -> None:
    report.report_after(run_of(database, as_of, is_as_of_given=is_given))
    assert page in {file.name for file in folder.iterdir()}


@pytest.mark.usefixtures("two_days", "folder")
@pytest.mark.parametrize("exit_code", [0, 65])
@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError(28, "No space left on device")])
def test_a_page_that_cannot_be_made_changes_no_exit_code(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    exit_code: int,
    error: Exception,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("spark_app.pipeline.sequence.run_pending", lambda *_: exit_code)
    monkeypatch.setattr(report, "render_page", broken)
    with caplog.at_level(logging.WARNING):
        assert PIPELINE.run(run_of(database, DAY)) == exit_code
    assert "report: no page was made: " in caplog.text


def test_a_pipeline_that_was_interrupted_makes_no_page(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.connect() as connection:
        fill(connection, 2)
    run = run_of(database, DAY)
    monkeypatch.setattr("spark_app.pipeline.sequence.run_pending", lambda *_: run.stopping.set() or 130)
    assert PIPELINE.run(run) == 130
    assert not folder.exists()


def test_what_works_without_spark_does_not_import_it(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", PROJECT_ROOT / "jobs" / "report.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 65
    assert "there are no results yet" in done.stderr
    assert "pyspark" not in done.stderr and "deltalake" not in done.stderr
