from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import pytest

from spark_app.sources.bodies import FetchError
from spark_app.sources.contract import Bar, Outcome
from spark_app.sources.yahoo.chart import parse_chart

# 2024-03-07, 08, 11 and 12 (Thursday to Tuesday), 09:30 in New York; on the 10th clocks went forward.
THU, FRI, MON, TUE = 1709821800, 1709908200, 1710163800, 1710250200
THU_DATE, FRI_DATE, MON_DATE, TUE_DATE = (dt.date(2024, 3, day) for day in (7, 8, 11, 12))
WINDOW = (THU_DATE, TUE_DATE)


def make_chart(
    rows: list[tuple[Any, ...]], *, events: dict[str, Any] | None = None, zone: str = "America/New_York"
) -> dict[str, Any]:
    """A chart body from rows of (stamp, open, high, low, close, adjclose, volume)."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 7
    quote = dict(zip(("open", "high", "low", "close"), map(list, columns[1:5]), strict=True))
    result: dict[str, Any] = {
        "meta": {"exchangeTimezoneName": zone, "currency": "USD"},
        "timestamp": list(columns[0]),
        "indicators": {"quote": [quote | {"volume": list(columns[6])}], "adjclose": [{"adjclose": list(columns[5])}]},
    }
    return {"chart": {"result": [result | ({"events": events} if events else {})], "error": None}}


def row(stamp: int, close: float | None = 10.0, volume: int | None = 100) -> tuple[Any, ...]:
    return (stamp, close, close, close, close, close, volume)


def dividend(stamp: int, amount: float) -> dict[str, Any]:
    return {"amount": amount, "date": stamp}


def split(stamp: int, numerator: float, denominator: float) -> dict[str, Any]:
    return {"date": stamp, "numerator": numerator, "denominator": denominator, "splitRatio": "n:m"}


def test_a_row_becomes_a_bar_of_its_new_york_date() -> None:
    chart = make_chart([(THU, 1.0, 4.0, 0.5, 2.0, 1.9, 7)])
    assert parse_chart(chart, *WINDOW) == (Bar(THU_DATE, 1.0, 4.0, 0.5, 2.0, 1.9, 7, 0.0, 1.0),)


def test_the_date_is_the_exchanges_and_not_that_of_utc() -> None:
    evening = 1709861400  # 2024-03-07 20:30 in New York, 2024-03-08 01:30 in UTC
    (bar,) = parse_chart(make_chart([row(evening)]), *WINDOW)
    assert bar.trade_date == THU_DATE


def test_bars_ascend_whatever_the_order_of_the_answer() -> None:
    bars = parse_chart(make_chart([row(TUE, 3.0), row(THU, 1.0), row(FRI, 2.0)]), *WINDOW)
    assert [(bar.trade_date, bar.close_price) for bar in bars] == [(THU_DATE, 1.0), (FRI_DATE, 2.0), (TUE_DATE, 3.0)]


def test_of_a_duplicate_last_row_the_newer_is_used() -> None:
    last_trade = TUE + 6 * 3600
    bars = parse_chart(make_chart([row(MON, 1.0), row(last_trade, 3.0, 9), row(TUE, 2.0, 8)]), *WINDOW)
    assert [(bar.trade_date, bar.close_price, bar.volume) for bar in bars] == [(MON_DATE, 1.0, 100), (TUE_DATE, 3.0, 9)]


def test_of_two_rows_with_the_same_time_stamp_the_later_one_is_used() -> None:
    (bar,) = parse_chart(make_chart([row(TUE, 2.0), row(TUE, 3.0)]), *WINDOW)
    assert bar.close_price == 3.0


def test_bars_outside_the_window_are_dropped() -> None:
    bars = parse_chart(make_chart([row(THU), row(FRI), row(MON), row(TUE)]), FRI_DATE, MON_DATE)
    assert [bar.trade_date for bar in bars] == [FRI_DATE, MON_DATE]


def test_null_and_nan_become_none() -> None:
    chart = make_chart([(THU, None, math.nan, 1.0, 2.0, None, None)])
    assert parse_chart(chart, *WINDOW) == (Bar(THU_DATE, None, None, 1.0, 2.0, None, None),)


def test_null_prices_with_volume_are_a_bar() -> None:
    assert parse_chart(make_chart([row(THU, None, 5)]), *WINDOW)[0].volume == 5


def test_a_row_without_any_value_is_not_a_bar() -> None:
    bars = parse_chart(make_chart([row(THU), row(FRI, None, None), row(MON, None, 0)]), *WINDOW)
    assert [bar.trade_date for bar in bars] == [THU_DATE]


def test_infinity_stays_for_the_quarantine_to_see() -> None:
    chart = make_chart([(THU, 1.0, 1.0, 1.0, 1.0, math.inf, 1)])
    assert parse_chart(chart, *WINDOW)[0].adj_close_price == math.inf


def test_a_float_volume_is_cut_to_a_whole_number() -> None:
    assert parse_chart(make_chart([(THU, 1.0, 1.0, 1.0, 1.0, 1.0, 12.9)]), *WINDOW)[0].volume == 12


def test_without_adjusted_closes_they_are_unknown() -> None:
    chart = make_chart([row(THU)])
    del chart["chart"]["result"][0]["indicators"]["adjclose"]
    assert parse_chart(chart, *WINDOW)[0].adj_close_price is None


def test_events_belong_to_the_bar_of_their_date() -> None:
    events = {"dividends": {"a": dividend(FRI, 0.24)}, "splits": {"b": split(MON, 2.0, 1.0)}}
    bars = parse_chart(make_chart([row(THU), row(FRI), row(MON)], events=events), *WINDOW)
    assert [(bar.dividend, bar.split_ratio) for bar in bars] == [(0.0, 1.0), (0.24, 1.0), (0.0, 2.0)]


def test_an_event_without_a_bar_belongs_to_the_first_bar_after_it() -> None:
    events = {"dividends": {"a": dividend(FRI, 0.24)}, "splits": {"b": split(FRI, 1.0, 8.0)}}
    bars = parse_chart(make_chart([row(THU), row(MON), row(TUE)], events=events), *WINDOW)
    assert [(bar.dividend, bar.split_ratio) for bar in bars] == [(0.0, 1.0), (0.24, 0.125), (0.0, 1.0)]


def test_an_event_before_the_first_bar_belongs_to_the_first_bar() -> None:
    bars = parse_chart(make_chart([row(MON)], events={"dividends": {"a": dividend(THU, 0.5)}}), *WINDOW)
    assert bars[0].dividend == 0.5


def test_an_event_outside_the_window_belongs_to_no_bar() -> None:
    events = {"dividends": {"a": dividend(THU, 0.5), "b": dividend(TUE, 0.7)}}
    bars = parse_chart(make_chart([row(FRI), row(MON)], events=events), FRI_DATE, MON_DATE)
    assert [bar.dividend for bar in bars] == [0.0, 0.0]


def test_of_several_events_on_a_bar_dividends_add_and_splits_multiply() -> None:
    events = {
        "dividends": {"a": dividend(FRI, 0.25), "b": dividend(MON, 0.5)},
        "splits": {"a": split(FRI, 3.0, 2.0), "b": split(MON, 2.0, 1.0)},
    }
    (_, bar) = parse_chart(make_chart([row(THU), row(MON)], events=events), *WINDOW)
    assert (bar.dividend, bar.split_ratio) == (0.75, 3.0)


@pytest.mark.parametrize(
    "chart",
    [
        {"chart": {"result": [], "error": None}},
        {"chart": {"result": None, "error": None}},
        {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found, symbol may be"}}},
        {
            "chart": {
                "result": None,
                "error": {"code": "Bad Request", "description": "Data doesn't exist for startDate"},
            }
        },
        make_chart([row(THU, None, None), row(FRI, None, None)]),
        make_chart([]),
        make_chart([row(TUE + 7 * 86400)]),
    ],
    ids=["empty result", "null result", "no data found", "before listing", "all null", "no rows", "outside the window"],
)
def test_an_answer_without_a_bar_is_no_data(chart: dict[str, Any]) -> None:
    with pytest.raises(FetchError) as caught:
        parse_chart(chart, *WINDOW)
    assert caught.value.outcome is Outcome.NO_DATA


@pytest.mark.parametrize("key", ["meta", "timestamp", "indicators"])
def test_a_missing_key_is_an_error_and_not_guessed(key: str) -> None:
    chart = make_chart([row(THU)])
    del chart["chart"]["result"][0][key]
    with pytest.raises(KeyError):
        parse_chart(chart, *WINDOW)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda result: result["timestamp"].append(FRI),
        lambda result: result["indicators"]["quote"][0]["volume"].append(1),
        lambda result: result["indicators"]["quote"][0].update(close=["ten"]),
        lambda result: result["indicators"]["quote"][0].update(volume=[2**63]),
        lambda result: result["meta"].update(exchangeTimezoneName="Mars/Olympus"),
        lambda result: result.update(timestamp=[10**30]),
        lambda result: result.update(events={"splits": {"a": split(THU, 1.0, 0.0)}}),
        lambda result: result.update(events={"dividends": {"a": dividend(THU, math.nan)}}),
    ],
    ids=["stamps", "lengths", "text", "too large", "zone", "year", "split by zero", "nan dividend"],
)
def test_an_unexpected_value_is_an_error_and_not_guessed(spoil: Any) -> None:
    chart = make_chart([row(THU)])
    spoil(chart["chart"]["result"][0])
    with pytest.raises((ValueError, KeyError, ArithmeticError)):
        parse_chart(chart, *WINDOW)


def recorded(shared_data: Path, name: str) -> Any:
    return json.loads((shared_data / "yahoo_responses" / name).read_text())


def test_a_recorded_split_and_dividend(shared_data: Path) -> None:
    bars = parse_chart(
        recorded(shared_data, "chart_AAPL_split_and_dividend.json"), dt.date(2020, 8, 31), dt.date(2020, 11, 6)
    )
    # AAPL split 4:1 on 2020-08-31 and went ex 0.205 on 2020-11-06.
    assert [(bar.trade_date, bar.split_ratio) for bar in bars if bar.split_ratio != 1] == [(dt.date(2020, 8, 31), 4.0)]
    assert [(bar.trade_date, bar.dividend) for bar in bars if bar.dividend] == [(dt.date(2020, 11, 6), 0.205)]
    assert len(bars) == 49  # XNYS sessions from 2020-08-31 to 2020-11-06: 1 + 21 + 22 + 5


def test_a_recorded_null_row_is_not_a_bar(shared_data: Path) -> None:
    bars = parse_chart(recorded(shared_data, "chart_null_bar.json"), dt.date(2017, 7, 1), dt.date(2017, 7, 31))
    assert [bar.trade_date.day for bar in bars] == [10, 12, 13]


def test_a_recorded_shell_without_prices_is_no_data(shared_data: Path) -> None:
    with pytest.raises(FetchError) as caught:
        parse_chart(recorded(shared_data, "chart_AAPL_empty_no_timestamp.json"), *WINDOW)
    assert caught.value.outcome is Outcome.NO_DATA
