"""Which bars are missing of those that the calendar promises."""

from __future__ import annotations

import datetime as dt

import pytest

from spark_app.ingestion.completeness import judge_completeness

MON, TUE, WED, THU = (dt.date(2024, 3, day) for day in (11, 12, 13, 14))
ALWAYS = dt.date.min


def test_a_session_without_a_bar_is_missing() -> None:
    found = judge_completeness([MON, TUE, WED], {"XLK": {MON, WED}}, {"XLK": ALWAYS})
    assert (found.expected, found.missing) == ({"XLK": 3}, {"XLK": [TUE]})
    assert found.coverage(["XLK"]) == pytest.approx(2 / 3)


def test_a_ticker_is_expected_from_its_first_bar_on() -> None:
    found = judge_completeness([MON, TUE, WED, THU], {"NEW": {WED, THU}}, {"NEW": WED})
    assert (found.expected, found.missing) == ({"NEW": 2}, {})


def test_a_ticker_without_any_bar_misses_all_of_them() -> None:
    found = judge_completeness([MON, TUE], {}, {"XLK": ALWAYS})
    assert found.missing == {"XLK": [MON, TUE]}


def test_after_its_end_a_ticker_misses_nothing() -> None:
    found = judge_completeness(
        [MON, TUE, WED, THU],
        {"ENDED": {TUE}, "GONE": {MON}},
        dict.fromkeys(("ENDED", "GONE", "NEVER"), ALWAYS),
        ended={"ENDED": TUE},
        absent={"GONE": MON, "NEVER": None},
    )
    assert (found.expected, found.missing) == ({"ENDED": 2, "GONE": 1, "NEVER": 0}, {"ENDED": [MON]})
    assert (found.ended, found.absent) == ({"ENDED": TUE}, {"GONE": MON, "NEVER": None})


def test_nothing_expected_is_complete() -> None:
    assert judge_completeness([MON], {}, {}).coverage(["GONE"]) == 1


def test_what_is_missing_is_listed_with_the_worst_first() -> None:
    found = judge_completeness([MON, TUE, WED, THU], {"A": {MON, TUE, WED}}, {"A": ALWAYS, "B": ALWAYS})
    assert found.describe() == "B 4 sessions from 2024-03-11 to 2024-03-14, A 2024-03-14"
    assert found.describe(["A"]) == "A 2024-03-14"
