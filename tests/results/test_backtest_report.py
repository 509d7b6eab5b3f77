"""The page at the end of `backtest`: where it is, and that it changes no exit code."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spark_app.cli.jobs import JOBS
from spark_app.config.settings import Settings
from spark_app.pipeline.summary import Summary
from spark_app.results import backtest_report
from tests.results.backtest.world import found_in, market_outcome

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPARK_APP_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "reports"


@pytest.fixture(scope="module")
def found() -> Any:
    return found_in(market_outcome())


def run_of(found: Any, *, out: str | None = None, exit_code: int = 0, status: str = "ok", opens: bool = False) -> Any:
    summary = Summary(reports=[SimpleNamespace(exit_code=exit_code, status=status)], findings=dict(found))  # type: ignore[list-item]
    request = SimpleNamespace(run_id="run-1", out=out, opens=opens, universe_file=None)
    staging = SimpleNamespace(versions_read={"bars": 7})
    return SimpleNamespace(summary=summary, request=request, staging=staging, settings=Settings())


def test_the_page_has_the_key_of_the_backtest_in_its_name(
    found: Any, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        backtest_report.page_after(run_of(found))
    (file,) = folder.iterdir()
    assert file.name == f"backtest-{found['analytics_backtest_run'][0]['backtest_id']}.html"
    assert f"backtest: page {file}" in caplog.text
    assert "bars 7" in file.read_text()


def test_the_page_goes_where_it_is_asked_for(found: Any, folder: Path, tmp_path: Path) -> None:
    backtest_report.page_after(run_of(found, out=str(tmp_path / "here" / "page.html"), status="what_if"))
    assert "Not stored in tables" in (tmp_path / "here" / "page.html").read_text()
    assert not folder.exists()


@pytest.mark.parametrize("change", [{"exit_code": 65}, {"found": {}}])
def test_without_a_result_there_is_no_page(found: Any, folder: Path, change: dict[str, Any]) -> None:
    backtest_report.page_after(run_of(**{"found": found, **change}))
    assert not folder.exists()


def test_without_a_desktop_it_is_said_that_nothing_was_opened(
    found: Any, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    backtest_report.page_after(run_of(found, opens=True))
    assert "no desktop here to open the page on" in caplog.text
    assert folder.exists()


@pytest.mark.parametrize("exit_code", [0, 65])
def test_a_page_that_cannot_be_made_changes_no_exit_code(
    found: Any,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    exit_code: int,
) -> None:
    job = replace(JOBS["backtest"], stages=())
    monkeypatch.setattr("spark_app.pipeline.sequence.run_stages", lambda *_: exit_code)
    (tmp_path / "file").touch()
    run = run_of(found, out=str(tmp_path / "file" / "page.html"))
    run.stopping = SimpleNamespace(is_set=lambda: False)
    assert job.run(run) == exit_code
    assert "backtest: no page was made: cannot write the page" in caplog.text
    caplog.clear()
    monkeypatch.setattr(backtest_report, "facts_of", lambda *_: 1 / 0)
    assert job.run(run) == exit_code
    assert "backtest: no page was made: unexpected error" in caplog.text
