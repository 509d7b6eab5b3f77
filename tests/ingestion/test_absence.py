"""Which answers without data are believed, and which charts have ended."""

from __future__ import annotations

import datetime as dt

from spark_app.ingestion.absence import confirmed_absences, confirming_days, ended_charts

MON, TUE, WED, THU = (dt.date(2024, 3, day) for day in (11, 12, 13, 14))
STOCKS = [f"S{number}" for number in range(36)]


def test_one_day_without_data_is_not_believed() -> None:
    assert confirmed_absences({"GONE": {MON}}, asked=36) == frozenset()


def test_a_second_day_confirms_it() -> None:
    assert confirmed_absences({"GONE": {MON, TUE}, "NEW": {TUE}}, asked=36) == {"GONE"}


def test_a_fund_exists_however_often_its_data_is_absent() -> None:
    assert confirmed_absences({"XLK": {MON, TUE}, "QQQ": {MON, TUE}}, asked=13) == frozenset()


def test_many_at_once_are_never_believed() -> None:
    # A quarter of 36 is 9.
    assert len(confirmed_absences({key: {MON, TUE} for key in STOCKS[:9]}, asked=36)) == 9
    assert confirmed_absences({key: {MON, TUE} for key in STOCKS[:10]}, asked=36) == frozenset()


def test_two_of_a_small_universe_are_not_many() -> None:
    assert confirmed_absences({"A": {MON, TUE}, "B": {MON, TUE}}, asked=3) == {"A", "B"}
    assert confirmed_absences({key: {MON, TUE} for key in "ABC"}, asked=3) == frozenset()


def test_a_new_absence_counts_towards_too_many() -> None:
    days = {"A": {MON, TUE}, **{key: {TUE} for key in STOCKS[:9]}}
    assert confirmed_absences(days, asked=36) == frozenset()


RECENT = [TUE, WED, THU]
FUND_BARS = {"SPY": {MON, TUE, WED, THU}, "XLK": {TUE, WED, THU}, "XLV": {MON}}


def test_a_chart_that_stops_while_those_of_most_funds_go_on_has_ended() -> None:
    last_bars = {"ENDED": MON, "HALTED": TUE, "SOUND": THU}
    assert ended_charts(last_bars, FUND_BARS, RECENT) == {"ENDED": MON}


def test_a_chart_has_not_ended_where_the_funds_lack_a_session_too() -> None:
    assert ended_charts({"ENDED": MON}, {**FUND_BARS, "XLK": {TUE, WED}}, RECENT) == {}
    assert ended_charts({"ENDED": MON}, {}, RECENT) == {}


def test_the_chart_of_a_fund_never_ends() -> None:
    assert ended_charts({"XLV": MON, "QQQ": MON}, FUND_BARS, RECENT) == {}


def test_many_charts_that_stop_at_once_have_not_ended() -> None:
    last_bars = dict.fromkeys(STOCKS, THU)
    assert len(ended_charts(last_bars | dict.fromkeys(STOCKS[:9], MON), FUND_BARS, RECENT)) == 9
    assert ended_charts(last_bars | dict.fromkeys(STOCKS[:10], MON), FUND_BARS, RECENT) == {}


def test_of_stocks_of_long_ago_one_answer_is_enough() -> None:
    now = dt.datetime(2024, 5, 11, 9, tzinfo=dt.UTC)
    days = [confirming_days(day, now) for day in (dt.date(2024, 5, 10), dt.date(2024, 3, 12), dt.date(2024, 3, 11))]
    assert days == [2, 2, 1]
    assert confirmed_absences({"GONE": {MON}}, 36, days_needed=1) == {"GONE"}
    assert confirmed_absences({key: {MON} for key in "ABCDEFGHIJ"}, 36, days_needed=1) == frozenset()
