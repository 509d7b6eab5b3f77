"""Staging what was fetched: bars and quotes at once, and neither lost when the other fails."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from spark_app.errors import ServiceUnavailableError
from spark_app.ingestion.cache import Known
from spark_app.ingestion.charts import Charts
from spark_app.ingestion.feeds import Feed, Staged
from spark_app.ingestion.ingest import _stage
from spark_app.ingestion.landing import LandedTicker, Landing
from spark_app.ingestion.quotes import Quotes
from spark_app.sources.contract import Kind, Outcome
from tests.ingestion.test_gate import RUN

FETCHED = Landing([LandedTicker(kind, "A", Outcome.OK) for kind in (Kind.CHART, Kind.QUOTE)])
KNOWN = Known({}, {}, {}, {})
FEEDS: list[Feed] = [Charts(RUN, ["A"], KNOWN), Quotes(RUN, ["A"], KNOWN)]


def test_bars_and_quotes_are_staged_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # One after the other, the first would wait here until the barrier breaks.
    both = threading.Barrier(2, timeout=10)

    def staged(feed: Feed, _landing: Landing) -> Staged:
        both.wait()
        return Staged({feed.table: 7})

    monkeypatch.setattr(Charts, "stage", staged)
    monkeypatch.setattr(Quotes, "stage", staged)
    assert _stage(FEEDS, FETCHED).versions == {"bars": 7, "quotes": 7}


def test_quotes_are_staged_even_if_bars_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    staged_tables: list[str] = []

    def fail(*_: Any) -> Staged:
        raise ServiceUnavailableError("the disk is full")

    def stage(feed: Feed, _landing: Landing) -> Staged:
        staged_tables.append(feed.table)
        return Staged()

    monkeypatch.setattr(Charts, "stage", fail)
    monkeypatch.setattr(Quotes, "stage", stage)
    with pytest.raises(ServiceUnavailableError, match="the disk is full"):
        _stage(FEEDS, FETCHED)
    assert staged_tables == ["quotes"]
