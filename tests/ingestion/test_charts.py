"""The window of a chart request, and the bars that are missing."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_app.config.settings import load_settings
from spark_app.ingestion.cache import Known
from spark_app.ingestion.charts import Charts
from spark_app.ingestion.landing import Landing
from spark_app.schemas import BARS
from spark_app.storage.delta.staging import BARS_TABLE, Staging
from tests.ingestion.test_gate import DAY, RUN
from tests.transforms.frames import frame


# The run takes the 21 sessions of June 2023 (the 19th is none), and the one before them.
@pytest.mark.parametrize(
    ("first_day", "first_date"),
    [
        (dt.date(5, 1, 1), dt.date(1993, 1, 29)),
        (dt.date(1970, 1, 1), dt.date(1993, 1, 29)),
        (dt.date(1999, 3, 10), dt.date(1999, 3, 10)),
        (dt.date(2023, 6, 30), dt.date(2023, 5, 31)),
    ],
)
def test_no_window_begins_before_the_first_session(first_day: dt.date, first_date: dt.date) -> None:
    known = cast(Known, SimpleNamespace(first_days={"AAPL": first_day}))
    charts = Charts(RUN, ["AAPL"], known)
    assert charts.first_dates == {"AAPL": first_date}
    assert [request.window_start for request in charts.requests(["AAPL"])] == [first_date]


class StagedBars:
    """Staging with these bars."""

    def __init__(self, bars: DataFrame) -> None:
        self.bars = bars

    def read(self, table: str) -> DataFrame:
        assert table == BARS_TABLE
        return self.bars


def test_a_first_session_is_that_of_the_settings(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    # On 2023-06-30 the run serves two sessions; XLC has the second of them only.
    bar = ("XLC", DAY, 1.0, 1.0, 1.0, 1.0, 1.0, 100, 0.0, 1.0, RUN.request.now, "run-1", "test")
    staging = cast(Staging, StagedBars(frame(spark, [bar], BARS)))

    def missing() -> object:
        request = replace(RUN.request, days=2)
        run = replace(RUN, request=request, settings=load_settings(), staging=staging)
        return Charts(run, ["XLC"], Known({}, {}, {}, {})).completeness(Landing()).missing

    assert missing() == {"XLC": [dt.date(2023, 6, 29)]}
    monkeypatch.setenv("SPARK_APP_CORRECTIONS__FIRST_SESSIONS", '{"XLC": "2023-06-30"}')
    assert missing() == {}
