"""The exchange's sessions: holidays, early closes and ad-hoc closures, from the exchange's own announcements."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_app import market_calendar as calendar
from spark_app.errors import UsageError


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2023-07-03T16:59:59+00:00", "2023-06-30"),  # the day before Independence Day closes at 13:00 New York
        ("2023-07-03T17:00:00+00:00", "2023-07-03"),
        ("2023-07-05T09:00:00+00:00", "2023-07-03"),  # the morning run after a holiday
        ("2023-01-03T20:59:59+00:00", "2022-12-30"),  # winter: 16:00 New York is 21:00 UTC
        ("2023-01-03T21:00:00+00:00", "2023-01-03"),
        ("2023-07-10T19:59:59+00:00", "2023-07-07"),  # summer: 20:00 UTC
        ("2023-07-10T20:00:00+00:00", "2023-07-10"),
        ("2025-01-10T09:00:00+00:00", "2025-01-08"),  # 2025-01-09: closed for the funeral of President Carter
        ("2023-07-09T12:00:00+00:00", "2023-07-07"),  # a Sunday
    ],
)
def test_the_last_completed_session_is_the_newest_whose_close_has_passed(now: str, expected: str) -> None:
    assert calendar.last_completed_session(dt.datetime.fromisoformat(now)) == day(expected)


def test_before_the_first_close_no_session_is_completed() -> None:
    first_close = dt.datetime(1993, 1, 29, 21, tzinfo=dt.UTC)
    assert calendar.last_completed_session(first_close) == calendar.FIRST_SESSION
    for early in (first_close - dt.timedelta(seconds=1), dt.datetime(1970, 1, 1, tzinfo=dt.UTC)):
        with pytest.raises(UsageError, match="set the clock of this machine right"):
            calendar.last_completed_session(early)


@pytest.mark.parametrize("closed", ["2023-07-04", "2023-07-08", "2025-01-09", "2012-10-29", "2001-09-12"])
def test_holidays_weekends_and_closures_are_no_sessions(closed: str) -> None:
    assert not calendar.is_session(day(closed))


def test_a_closure_gives_the_session_before_it() -> None:
    assert calendar.session_on_or_before(day("2025-01-09")) == day("2025-01-08")
    assert calendar.session_on_or_before(day("2025-01-08")) == day("2025-01-08")


def test_days_count_sessions() -> None:
    expected = [day(d) for d in ("2023-06-30", "2023-07-03", "2023-07-05", "2023-07-06")]
    assert calendar.sessions_ending(day("2023-07-06"), 4) == expected
    assert calendar.sessions_between(day("2023-06-30"), day("2023-07-06")) == expected


def test_sessions_begin_with_the_benchmark() -> None:
    assert calendar.sessions_ending(day("1993-02-01"), 5) == [day("1993-01-29"), day("1993-02-01")]
    with pytest.raises(UsageError, match="1993-01-29"):
        calendar.session_on_or_before(day("1993-01-28"))


def test_days_beyond_those_that_pandas_knows_are_no_sessions() -> None:
    assert calendar.sessions_between(dt.date.min, day("1993-02-01")) == [day("1993-01-29"), day("1993-02-01")]
    assert calendar.sessions_between(day("2024-05-13"), dt.date.max)[:2] == [day("2024-05-13"), day("2024-05-14")]
    assert calendar.sessions_between(dt.date.max, day("2024-05-13")) == []
    assert not any(map(calendar.is_session, (dt.date.min, dt.date.max)))
    calendar.correct(extra_sessions=[dt.date.max])
    assert calendar.sessions_ending(day("2024-05-13"), 1) == [day("2024-05-13")]
    calendar.correct()


def test_a_scheduler_learns_the_last_session_at_any_moment() -> None:
    # Thanksgiving of 2025, and the Friday after it, which closed at 18:00 UTC.
    moments = ("2025-11-26T20:59Z", "2025-11-26T21:00Z", "2025-11-28T09:00", "2025-11-28T13:00-05:00")
    script = Path(__file__).parents[1] / "scripts" / "last_session.py"
    done = subprocess.run([sys.executable, script, *moments], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2025-11-25", "2025-11-26", "2025-11-26", "2025-11-28"]


def test_a_scheduler_learns_of_corrections() -> None:
    script = Path(__file__).parents[1] / "scripts" / "last_session.py"
    environment = os.environ | {"SPARK_APP_CALENDAR__CLOSURES": "2025-11-25,2025-11-26"}
    command = [sys.executable, str(script), "2025-11-28T09:00"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["2025-11-24"]


@pytest.fixture
def corrected() -> Iterator[None]:
    """Wednesday is closed, Saturday and a session are extra sessions; a holiday is a closure already."""
    closures = [day("2024-05-15"), day("2024-05-27")]
    for _ in range(2):
        calendar.correct(closures, [day("2024-05-18"), day("2024-05-14"), day("1993-01-28")])
    yield
    calendar.correct()
    assert calendar.is_session(day("2024-05-15"))
    assert not calendar.is_session(day("2024-05-18"))


@pytest.mark.usefixtures("corrected")
def test_a_corrected_calendar_has_the_right_sessions() -> None:
    week = [day(d) for d in ("2024-05-13", "2024-05-14", "2024-05-16", "2024-05-17", "2024-05-18", "2024-05-20")]
    assert calendar.sessions_between(day("2024-05-13"), day("2024-05-20")) == week
    assert calendar.sessions_ending(day("2024-05-20"), 6) == week
    assert calendar.session_on_or_before(day("2024-05-15")) == day("2024-05-14")
    assert calendar.session_on_or_before(day("2024-05-19")) == day("2024-05-18")
    assert calendar.sessions_ending(day("1993-01-29"), 5) == [day("1993-01-29")]


@pytest.mark.usefixtures("corrected")
def test_an_extra_session_closes_at_16_in_new_york() -> None:
    close = dt.datetime(2024, 5, 18, 20, tzinfo=dt.UTC)
    assert calendar.close_of(day("2024-05-18")) == close
    assert calendar.last_completed_session(close) == day("2024-05-18")
    assert calendar.last_completed_session(close - dt.timedelta(seconds=1)) == day("2024-05-17")
    assert calendar.last_completed_session(dt.datetime(2024, 5, 16, 9, tzinfo=dt.UTC)) == day("2024-05-14")


DAYS = st.dates(calendar.FIRST_SESSION, dt.date(2026, 6, 30))


@given(DAYS)
def test_the_session_on_or_before_a_day_is_the_nearest(any_day: dt.date) -> None:
    found = calendar.session_on_or_before(any_day)
    assert found <= any_day
    assert calendar.is_session(found)
    later = (found + dt.timedelta(days=n) for n in range(1, (any_day - found).days + 1))
    assert not any(map(calendar.is_session, later))


@given(DAYS, st.integers(0, 40))
def test_sessions_between_two_days_are_all_and_only_days_that_are_sessions(first: dt.date, days: int) -> None:
    window = [first + dt.timedelta(days=n) for n in range(days + 1)]
    assert calendar.sessions_between(first, window[-1]) == [d for d in window if calendar.is_session(d)]


@given(DAYS.filter(calendar.is_session), st.integers(1, 300))
def test_sessions_that_end_with_one_are_those_from_the_first_of_them(last: dt.date, count: int) -> None:
    found = calendar.sessions_ending(last, count)
    assert found == calendar.sessions_between(found[0], last)
    assert len(found) == count or found[0] == calendar.FIRST_SESSION


@given(st.dates(dt.date(1993, 2, 1), dt.date(2026, 6, 30)), st.times())
def test_the_last_completed_session_has_closed_and_the_next_has_not(any_day: dt.date, time: dt.time) -> None:
    now = dt.datetime.combine(any_day, time, dt.UTC)
    last = calendar.last_completed_session(now)
    following = calendar.sessions_between(last, last + dt.timedelta(days=15))[1]
    assert calendar.close_of(last) <= now < calendar.close_of(following)
