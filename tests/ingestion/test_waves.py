"""What the workers of a run are told."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from spark_app.config.settings import load_settings
from spark_app.ingestion.waves import source_config
from tests.ingestion.test_gate import RUN


def test_the_workers_of_a_run_are_told_the_corrections_of_its_calendar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_APP_CALENDAR__CLOSURES", "2023-06-16")
    monkeypatch.setenv("SPARK_APP_CALENDAR__EXTRA_SESSIONS", "2023-06-19,2023-06-24")
    config = source_config(replace(RUN, settings=load_settings()))
    assert config.closures == (dt.date(2023, 6, 16),)
    assert config.extra_sessions == (dt.date(2023, 6, 19), dt.date(2023, 6, 24))
