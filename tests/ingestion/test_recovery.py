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


def test_a_run_that_died_before_it_landed_anything_left_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    marked: list[tuple[object, object]] = []
    monkeypatch.setattr(recovery, "unstaged_runs", lambda database, run_id: [DEAD])
    monkeypatch.setattr(
        recovery, "mark_recovered", lambda database, key, others, errors: marked.append((others, errors))
    )
    staging: Any = NothingLanded()
    nothing: Any = None
    now = dt.datetime(2023, 6, 30, 21, tzinfo=dt.UTC)
    run = Run(Request("next", DAY, now), Settings(), nothing, staging, nothing, stage="stage1_etf_ohlc")
    with caplog.at_level(logging.INFO):
        recovery.recover_unstaged(run)
    assert marked == [([DEAD], ())]
    assert caplog.messages == []
