"""Sessions and rebalance dates, by a calendar on the wall."""

from __future__ import annotations

import datetime as dt

import pytest

from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import calendar_sessions, make_schedule, rebalance_dates
from spark_app.errors import UsageError
from spark_app.transforms.rotation import SectorChoice


def _days(*texts: str) -> list[dt.date]:
    return [dt.date.fromisoformat(text) for text in texts]


def test_the_value_is_1_at_the_session_before_the_first_day_and_that_is_always_a_rebalance() -> None:
    plan = Plan(dt.date(2024, 3, 28), dt.date(2024, 4, 2), rebalance="monthly", choice=SectorChoice(2, (2,), 3))
    schedule = make_schedule(plan, calendar_sessions(plan))
    # Good Friday, 2024-03-29, is no session: the month ended on the day before.
    assert list(schedule.sessions) == _days("2024-03-27", "2024-03-28", "2024-04-01", "2024-04-02")
    assert list(schedule.rebalances) == _days("2024-03-27", "2024-03-28")
    assert list(schedule.warm_up) == _days("2024-03-25", "2024-03-26")


def test_weeks_end_by_the_calendar_and_an_unfinished_one_does_not_end() -> None:
    sessions = _days("2024-03-27", "2024-03-28", "2024-04-01", "2024-04-02")
    assert list(rebalance_dates(sessions, "weekly", dt.date(2024, 4, 3))) == _days("2024-03-27", "2024-03-28")
    assert rebalance_dates(sessions, "weekly", dt.date(2024, 4, 8))[-1] == dt.date(2024, 4, 2)
    assert list(rebalance_dates(sessions, "daily", dt.date(2024, 4, 3))) == sessions


def test_a_week_across_the_new_year_is_one_week() -> None:
    sessions = _days("2024-12-30", "2024-12-31", "2025-01-02", "2025-01-03", "2025-01-06")
    assert list(rebalance_dates(sessions, "weekly", dt.date(2025, 1, 7))) == _days("2024-12-30", "2025-01-03")


def test_a_month_with_one_session_is_a_period_of_its_own() -> None:
    months = _days("1927-01-31", "1927-02-28", "1927-03-31")
    assert list(rebalance_dates(months, "monthly")) == months


def test_days_without_a_session_are_told() -> None:
    plan = Plan(dt.date(2024, 3, 30), dt.date(2024, 3, 31))
    with pytest.raises(UsageError, match="no session from 2024-03-30 to 2024-03-31"):
        make_schedule(plan, calendar_sessions(plan))
    early = Plan(dt.date(1993, 1, 29), dt.date(1993, 2, 5))
    with pytest.raises(UsageError, match="no session before 1993-01-29"):
        make_schedule(early, calendar_sessions(early))
