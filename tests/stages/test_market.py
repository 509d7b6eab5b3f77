"""What the stages of one run share is computed once."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from pyspark.sql import Row

from spark_app.config.settings import Settings
from spark_app.pipeline.request import Request
from spark_app.pipeline.run import Run
from spark_app.stages import market

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


def run_of(run_id: str) -> Run:
    nothing: Any = None
    return Run(Request(run_id, DAY, dt.datetime(2023, 7, 3, tzinfo=dt.UTC)), nothing, nothing, nothing, nothing)


def test_stages_of_a_run_share_the_trends_and_another_request_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    query = Query(TREND)
    monkeypatch.setattr(market, "trends_of", lambda _run: query)
    run = run_of("one")
    for of_stage in (replace(run, stage="stage3"), replace(run, stage="stage4", confirm_lock=lambda: None)):
        assert market.sector_trends_of(of_stage) == (TREND,)
    assert query.runs == 1
    assert market.sector_trends_of(run.asking(days=5)) == (TREND,)
    assert market.sector_trends_of(run_of("another")) == (TREND,)
    assert query.runs == 3


@pytest.mark.usefixtures("no_settings_from_outside")
@pytest.mark.parametrize(
    ("origin", "sentence"), [("real", "not listed yet: XLC (since 2018-06-19)"), ("synthetic", "")]
)
def test_the_synthetic_market_has_all_funds_from_its_first_session_on(origin: str, sentence: str) -> None:
    run = replace(run_of("one"), request=Request("one", dt.date(2016, 3, 14), dt.datetime(2016, 3, 15, tzinfo=dt.UTC)))
    assert market.describe_unlisted(replace(run, settings=Settings().of_origin(origin))) == sentence
