"""From which date on a chart covers its window."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from spark_app.sources.contract import Bar
from spark_app.sources.yahoo.listing import find_covered_from

# 2024-03-12 (Tuesday) 09:30 in New York; the sessions before it are 11, 08, 07 and 06.
TUE_OPEN = 1710250200
WED6, THU7, FRI8, SUN10, MON11, TUE12 = (dt.date(2024, 3, day) for day in (6, 7, 8, 10, 11, 12))
DAY = 86400


def covered_from(first: dt.date, begins: dt.date = TUE12, **meta: Any) -> dt.date | None:
    payload = {"chart": {"result": [{"meta": {"exchangeTimezoneName": "America/New_York", **meta}}], "error": None}}
    return find_covered_from(payload, [Bar(begins, 1.0, 1.0, 1.0, 1.0, 1.0, 1)], first)


def test_a_chart_that_lacks_its_older_sessions_covers_only_the_rest() -> None:
    assert covered_from(THU7, firstTradeDate=TUE_OPEN - 1000 * DAY) == TUE12


def test_a_chart_that_begins_with_the_first_trade_covers_the_window() -> None:
    assert covered_from(THU7, firstTradeDate=TUE_OPEN) is None


def test_a_first_trade_before_the_first_bar_is_no_listing_then() -> None:
    assert covered_from(WED6, firstTradeDate=TUE_OPEN - DAY) == TUE12


@pytest.mark.parametrize("value", [None, True, "2024-03-12", float("nan"), float("inf"), 1e300, {}])
def test_a_first_trade_date_that_is_no_time_says_nothing(value: object) -> None:
    assert covered_from(THU7, firstTradeDate=value) == TUE12


def test_a_chart_without_a_first_trade_date_says_nothing() -> None:
    assert covered_from(THU7) == TUE12


def test_the_date_of_the_first_trade_is_that_of_the_exchange() -> None:
    # 20:00 in New York is the next day in UTC.
    assert covered_from(WED6, TUE12, firstTradeDate=1710201600) == TUE12
    assert covered_from(WED6, MON11, firstTradeDate=1710201600) is None


@pytest.mark.parametrize(("first", "begins"), [(TUE12, TUE12), (SUN10, MON11), (FRI8, MON11), (SUN10, TUE12)])
def test_the_first_session_alone_may_lack(first: dt.date, begins: dt.date) -> None:
    assert covered_from(first, begins, firstTradeDate=0) is None
