"""What the stages of one run derive alike is computed once."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from pyspark.sql import Row

from spark_app.pipeline.context import RunRequest, StageContext
from spark_app.stages import market
from spark_app.storage.delta.staging import Staging

DAY = dt.date(2023, 6, 30)
TREND = Row(as_of_date=DAY, benchmark_unavailable_code=None)


class Query:
    """A DataFrame that counts how often it is computed."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.runs = 0

    def collect(self) -> list[Row]:
        self.runs += 1
        return [self.row]


def context_of(run_id: str) -> StageContext:
    nothing: Any = None
    request = RunRequest(run_id, DAY, dt.datetime(2023, 7, 3, tzinfo=dt.UTC))
    return StageContext(request, nothing, nothing, Staging(nothing, "/staging", "real"), nothing)


def test_stages_of_a_run_share_the_trends_though_each_has_a_lock_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    query = Query(TREND)
    monkeypatch.setattr(market, "trends_of", lambda _context: query)
    context = context_of("one")
    for stage in (context, replace(context, confirm_lock=lambda: None)):
        assert market.read_sector_trends(stage) == (TREND,)
    assert query.runs == 1
    assert market.read_sector_trends(context_of("another")) == (TREND,)
    assert query.runs == 2


def test_only_dates_without_a_usable_price_of_the_benchmark_are_without_it() -> None:
    codes = (None, "no_bar_at_end", "no_usable_price_at_end", "no_bar_at_start", "too_few_sessions")
    rows = [Row(as_of_date=DAY + dt.timedelta(days=n), benchmark_unavailable_code=code) for n, code in enumerate(codes)]
    assert market.with_benchmark(rows) == [rows[0].as_of_date, rows[3].as_of_date, rows[4].as_of_date]
