"""Recovery of other runs: nothing is staged and nothing is said where they landed nothing."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

import pytest

from spark_app.config.settings import Settings
from spark_app.ingestion import recovery
from spark_app.pipeline.request import Request
from spark_app.pipeline.run import Run
from spark_app.storage.postgres.recovery import UnstagedRun

DAY = dt.date(2023, 6, 30)
DEAD = UnstagedRun("dead", "stage1_etf_ohlc", DAY)


class NothingLanded:
    """Staging without a fetch of these runs; as a DataFrame it is empty."""

    def fetches_of(self, runs: list[str]) -> NothingLanded:
        assert runs == ["dead"]
        return self

    def select(self, *columns: str) -> NothingLanded:
        return self

    def distinct(self) -> NothingLanded:
        return self

    def collect(self) -> list[dict[str, str]]:
        return []


def marked_after(monkeypatch: pytest.MonkeyPatch, other: UnstagedRun) -> list[tuple[object, object]]:
    """What a recovery marks as staged of a run that landed nothing."""
    marked: list[tuple[object, object]] = []
    monkeypatch.setattr(recovery, "unstaged_runs", lambda database, run_id: [other])
    monkeypatch.setattr(
        recovery, "mark_recovered", lambda database, key, others, errors: marked.append((others, errors))
    )
    staging: Any = NothingLanded()
    nothing: Any = None
    now = dt.datetime(2023, 6, 30, 21, tzinfo=dt.UTC)
    recovery.recover_unstaged(
        Run(Request("next", DAY, now), Settings(), nothing, staging, nothing, stage="stage1_etf_ohlc")
    )
    return marked


def test_a_run_that_died_before_it_landed_anything_left_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert marked_after(monkeypatch, DEAD) == [([DEAD], ())]
    assert caplog.messages == []


@pytest.mark.parametrize("is_running", [True, False])
def test_a_run_that_was_at_work_when_its_fetches_were_read_is_not_done(
    monkeypatch: pytest.MonkeyPatch, is_running: bool
) -> None:
    # It may land more, and be dead by the time that it would be marked.
    other = UnstagedRun("dead", "stage4_stock_history", DAY)
    monkeypatch.setattr(recovery, "is_running", lambda database, stage, as_of: is_running)
    assert marked_after(monkeypatch, other) == [([] if is_running else [other], ())]
