"""The window of a chart request."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import cast

import pytest

from spark_app.ingestion.cache import Known
from spark_app.ingestion.charts import Charts
from tests.ingestion.test_gate import RUN


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
