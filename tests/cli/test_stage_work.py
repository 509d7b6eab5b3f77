"""The stages of a day: which run side by side, and what follows a failure."""

from __future__ import annotations

import argparse
import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest

from spark_app.cli import stage_work
from spark_app.cli.job import Job
from spark_app.cli.parser import STAGES
from spark_app.errors import RunInterruptedError
from spark_app.pipeline import execution as stage_running
from spark_app.pipeline.context import RunRequest, StageReport

DAY = dt.date(2023, 6, 30)


class Context:
    """As much of a StageContext as running stages in order looks at."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.request = RunRequest("run", DAY, dt.datetime(2023, 7, 3, tzinfo=dt.UTC), resume_command="the same again")


class Run:
    """As much of a Run."""

    def __init__(self) -> None:
        self.job = Job("daily_pipeline", [], argparse.Namespace())


def report(stage: str, exit_code: int = 0) -> StageReport:
    return StageReport("run", stage, DAY, "failed" if exit_code else "ok", exit_code, f"what {stage} says", 0.1)


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Context:
    opened = Context()
    monkeypatch.setattr(stage_work, "context_of", lambda _run: opened)
    return opened


def run_day(monkeypatch: pytest.MonkeyPatch, run_stage: Callable[[Any, str], StageReport]) -> tuple[int, list[str]]:
    monkeypatch.setattr(stage_running, "run_stage", run_stage)
    run: Any = Run()
    exit_code = stage_work.run_stages(run, STAGES)
    return exit_code, [report.stage for report in run.job.reports]


def test_stages_that_need_nothing_of_each_other_run_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, context: Context
) -> None:
    meetings = {1: threading.Barrier(2), 2: threading.Barrier(2)}
    place = {STAGES[0]: 1, STAGES[1]: 1, STAGES[2]: 2, STAGES[3]: 2}

    def meet(_context: Any, stage: str) -> StageReport:
        if stage in place:
            meetings[place[stage]].wait(timeout=60)
        return report(stage)

    assert run_day(monkeypatch, meet) == (0, list(STAGES))


@pytest.mark.parametrize(
    ("failing", "exit_code", "ran"),
    [
        ({STAGES[0]: 65}, 65, STAGES[:2]),
        ({STAGES[0]: 65, STAGES[1]: 75}, 75, STAGES[:2]),
        ({STAGES[3]: 1}, 1, STAGES[:4]),
    ],
)
def test_after_a_failure_no_stage_is_begun_and_each_failure_is_said(
    monkeypatch: pytest.MonkeyPatch,
    context: Context,
    capsys: pytest.CaptureFixture[str],
    failing: dict[str, int],
    exit_code: int,
    ran: tuple[str, ...],
) -> None:
    ended = run_day(monkeypatch, lambda _context, stage: report(stage, failing.get(stage, 0)))
    assert ended == (exit_code, list(ran))
    assert capsys.readouterr().err.splitlines() == [f"{stage}: what {stage} says" for stage in failing]


def test_a_run_that_is_to_stop_begins_no_further_stage(monkeypatch: pytest.MonkeyPatch, context: Context) -> None:
    begun = []

    def stop(_context: Any, stage: str) -> StageReport:
        begun.append(stage)
        context.stopping.set()
        return report(stage)

    with pytest.raises(RunInterruptedError, match="interrupted before stage3_trending_sectors; go on with: the same"):
        run_day(monkeypatch, stop)
    assert sorted(begun) == list(STAGES[:2])
