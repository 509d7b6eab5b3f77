from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import pytest

from spark_app.sources.bodies import FetchError
from spark_app.sources.contract import Bar, Outcome
from spark_app.sources.yahoo.chart import (
    bars_in,
    find_skipped_events,
    find_skipped_rows,
    parse_chart,
    require_chart_of,
)

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


def bars_of(payload: dict[str, Any], first: dt.date, last: dt.date) -> tuple[Bar, ...]:
    return bars_in(parse_chart(payload), first, last)


def test_a_row_becomes_a_bar_of_its_new_york_date() -> None:
    chart = make_chart([(THU, 1.0, 4.0, 0.5, 2.0, 1.9, 7)])
    assert bars_of(chart, *WINDOW) == (Bar(THU_DATE, 1.0, 4.0, 0.5, 2.0, 1.9, 7, 0.0, 1.0),)


def test_the_date_is_the_exchanges_and_not_that_of_utc() -> None:
    evening = 1709861400  # 2024-03-07 20:30 in New York, 2024-03-08 01:30 in UTC
    (bar,) = bars_of(make_chart([row(evening)]), *WINDOW)
    assert bar.trade_date == THU_DATE


def test_bars_ascend_whatever_the_order_of_the_answer() -> None:
    bars = bars_of(make_chart([row(TUE, 3.0), row(THU, 1.0), row(FRI, 2.0)]), *WINDOW)
    assert [(bar.trade_date, bar.close_price) for bar in bars] == [(THU_DATE, 1.0), (FRI_DATE, 2.0), (TUE_DATE, 3.0)]


def test_of_a_duplicate_last_row_the_newer_is_used() -> None:
    last_trade = TUE + 6 * 3600
    bars = bars_of(make_chart([row(MON, 1.0), row(last_trade, 3.0, 9), row(TUE, 2.0, 8)]), *WINDOW)
    assert [(bar.trade_date, bar.close_price, bar.volume) for bar in bars] == [(MON_DATE, 1.0, 100), (TUE_DATE, 3.0, 9)]


def test_of_two_rows_with_the_same_time_stamp_the_later_one_is_used() -> None:
    (bar,) = bars_of(make_chart([row(TUE, 2.0), row(TUE, 3.0)]), *WINDOW)
    assert bar.close_price == 3.0


def test_bars_outside_the_window_are_dropped() -> None:
    bars = bars_of(make_chart([row(THU), row(FRI), row(MON), row(TUE)]), FRI_DATE, MON_DATE)
    assert [bar.trade_date for bar in bars] == [FRI_DATE, MON_DATE]


def test_null_and_nan_become_none() -> None:
    chart = make_chart([(THU, None, math.nan, 1.0, 2.0, None, None)])
    assert bars_of(chart, *WINDOW) == (Bar(THU_DATE, None, None, 1.0, 2.0, None, None),)


def test_null_prices_with_volume_are_a_bar() -> None:
    assert bars_of(make_chart([row(THU, None, 5)]), *WINDOW)[0].volume == 5


def test_a_row_without_any_value_is_not_a_bar() -> None:
    bars = bars_of(make_chart([row(THU), row(FRI, None, None), row(MON, None, 0)]), *WINDOW)
    assert [bar.trade_date for bar in bars] == [THU_DATE]


def test_infinity_stays_for_the_quarantine_to_see() -> None:
    chart = make_chart([(THU, 1.0, 1.0, 1.0, 1.0, math.inf, 1)])
    assert bars_of(chart, *WINDOW)[0].adj_close_price == math.inf


def test_a_whole_volume_may_be_written_as_a_float() -> None:
    assert bars_of(make_chart([(THU, 1.0, 1.0, 1.0, 1.0, 1.0, 12.0)]), *WINDOW)[0].volume == 12


@pytest.mark.parametrize("place", range(1, 7), ids=["open", "high", "low", "close", "adjclose", "volume"])
@pytest.mark.parametrize("value", [True, False, "10.0", "1_0", [10.0], {"raw": True}, 10**400])
def test_a_row_with_a_value_that_is_no_number_is_skipped_and_named(place: int, value: Any) -> None:
    bad = [*row(FRI)]
    bad[place] = value
    payload = make_chart([row(THU), tuple(bad), row(MON)])
    assert [bar.trade_date for bar in bars_of(payload, *WINDOW)] == [THU_DATE, MON_DATE]
    ((reason, (part,)),) = find_skipped_rows(parse_chart(payload), *WINDOW, TUE_DATE).items()
    assert (reason, part.name) == ("a value cannot be read", str(FRI_DATE))
    assert json.loads(part.text) == bad[1:]


def test_a_row_with_a_fraction_of_a_share_is_skipped() -> None:
    payload = make_chart([row(THU), (FRI, 1.0, 1.0, 1.0, 1.0, 1.0, 12.9)])
    assert [bar.trade_date for bar in bars_of(payload, *WINDOW)] == [THU_DATE]


def test_a_sound_row_of_the_same_date_takes_the_place_of_one_that_cannot_be_read() -> None:
    payload = make_chart([row(THU, 2.0), (THU + 60, "3", "3", "3", "3", "3", 5)])
    assert [bar.close_price for bar in bars_of(payload, *WINDOW)] == [2.0]


def test_a_row_before_the_first_session_or_in_the_future_is_named() -> None:
    old, future = 728_283_599, TUE + 86_400  # 1993-01-28 23:59:59 and 2024-03-13 in New York
    payload = make_chart([row(old), row(THU), row(future)])
    assert [bar.trade_date for bar in bars_of(payload, dt.date(1990, 1, 2), TUE_DATE)] == [
        dt.date(1993, 1, 28),
        THU_DATE,
    ]
    found = find_skipped_rows(parse_chart(payload), *WINDOW, TUE_DATE)
    assert {reason: [part.name for part in parts] for reason, parts in found.items()} == {
        "before 1993-01-29": ["1993-01-28"],
        "in the future": ["2024-03-13"],
    }


@pytest.mark.parametrize("adjusted", [None, [], [None], [{}], [{"adjclose": None}], "none", 5])
def test_without_a_list_of_adjusted_closes_the_rest_is_read(adjusted: Any) -> None:
    chart = make_chart([row(THU)])
    chart["chart"]["result"][0]["indicators"]["adjclose"] = adjusted
    assert bars_of(chart, *WINDOW) == (Bar(THU_DATE, 10.0, 10.0, 10.0, 10.0, None, 100),)


def test_without_adjusted_closes_they_are_unknown() -> None:
    chart = make_chart([row(THU)])
    del chart["chart"]["result"][0]["indicators"]["adjclose"]
    assert bars_of(chart, *WINDOW)[0].adj_close_price is None


def test_events_belong_to_the_bar_of_their_date() -> None:
    events = {"dividends": {"a": dividend(FRI, 0.24)}, "splits": {"b": split(MON, 2.0, 1.0)}}
    bars = bars_of(make_chart([row(THU), row(FRI), row(MON)], events=events), *WINDOW)
    assert [(bar.dividend, bar.split_ratio) for bar in bars] == [(0.0, 1.0), (0.24, 1.0), (0.0, 2.0)]


def test_an_event_without_a_bar_belongs_to_the_first_bar_after_it() -> None:
    events = {"dividends": {"a": dividend(FRI, 0.24)}, "splits": {"b": split(FRI, 1.0, 8.0)}}
    bars = bars_of(make_chart([row(THU), row(MON), row(TUE)], events=events), *WINDOW)
    assert [(bar.dividend, bar.split_ratio) for bar in bars] == [(0.0, 1.0), (0.24, 0.125), (0.0, 1.0)]


def test_an_event_before_the_first_bar_belongs_to_the_first_bar() -> None:
    bars = bars_of(make_chart([row(MON)], events={"dividends": {"a": dividend(THU, 0.5)}}), *WINDOW)
    assert bars[0].dividend == 0.5


def test_an_event_outside_the_window_belongs_to_no_bar() -> None:
    events = {"dividends": {"a": dividend(THU, 0.5), "b": dividend(TUE, 0.7)}}
    bars = bars_of(make_chart([row(FRI), row(MON)], events=events), FRI_DATE, MON_DATE)
    assert [bar.dividend for bar in bars] == [0.0, 0.0]


def test_of_several_events_on_a_bar_dividends_add_and_splits_multiply() -> None:
    events = {
        "dividends": {"a": dividend(FRI, 0.25), "b": dividend(MON, 0.5)},
        "splits": {"a": split(FRI, 3.0, 2.0), "b": split(MON, 2.0, 1.0)},
    }
    (_, bar) = bars_of(make_chart([row(THU), row(MON)], events=events), *WINDOW)
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
        bars_of(chart, *WINDOW)
    assert caught.value.outcome is Outcome.NO_DATA


@pytest.mark.parametrize("key", ["meta", "timestamp", "indicators"])
def test_a_missing_key_is_an_error_and_not_guessed(key: str) -> None:
    chart = make_chart([row(THU)])
    del chart["chart"]["result"][0][key]
    with pytest.raises(KeyError):
        bars_of(chart, *WINDOW)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda result: result["timestamp"].append(FRI),
        lambda result: result["indicators"]["quote"][0]["volume"].append(1),
        lambda result: result["indicators"]["quote"][0].update(close=["ten"]),
        lambda result: result["indicators"]["quote"][0].update(volume=[2**63]),
        lambda result: result["meta"].update(exchangeTimezoneName="Mars/Olympus"),
        lambda result: result.update(timestamp=[10**30]),
        lambda result: result.update(timestamp=[True]),
        lambda result: result.update(timestamp=[str(THU)]),
        lambda result: result.update(timestamp=[THU + 0.5]),
        lambda result: result.update(timestamp=[None]),
    ],
    ids=[
        "stamps",
        "lengths",
        "text",
        "too large",
        "zone",
        "year",
        "boolean stamp",
        "text stamp",
        "stamp with a fraction",
        "null stamp",
    ],
)
def test_an_unexpected_value_is_an_error_and_not_guessed(spoil: Any) -> None:
    chart = make_chart([row(THU)])
    spoil(chart["chart"]["result"][0])
    with pytest.raises((ValueError, KeyError, ArithmeticError)):
        bars_of(chart, *WINDOW)


def labelled(**labels: Any) -> dict[str, Any]:
    chart = make_chart([row(THU)])
    chart["chart"]["result"][0]["meta"] |= labels
    return chart


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"symbol": None, "currency": None, "dataGranularity": None},
        {"symbol": "BRK-B", "currency": "USD", "dataGranularity": "1d"},
        {"symbol": "BRK.B"},
        {"symbol": 5, "currency": True, "dataGranularity": ["1wk"]},
    ],
)
def test_a_chart_without_another_label_is_taken_for_the_one_asked_for(labels: dict[str, Any]) -> None:
    require_chart_of(labelled(**labels), "BRK-B")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"symbol": "XLK"}, "this is the chart of XLK"),
        ({"currency": "GBp"}, "the prices are in GBp, not in USD"),
        ({"dataGranularity": "1wk"}, "this chart has one row per 1wk, not per 1d"),
    ],
)
def test_a_chart_with_another_label_is_malformed(labels: dict[str, Any], message: str) -> None:
    with pytest.raises(FetchError) as caught:
        require_chart_of(labelled(**{"symbol": "XLE", "dataGranularity": "1d"} | labels), "XLE")
    assert (caught.value.outcome, str(caught.value)) == (Outcome.MALFORMED, message)


ODD_EVENTS: dict[str, tuple[str, Any, str, dt.date | None]] = {
    "split 1:0": ("splits", split(FRI, 1.0, 0.0), "no plausible amount or ratio", FRI_DATE),
    "split 0:1": ("splits", split(FRI, 0.0, 1.0), "no plausible amount or ratio", FRI_DATE),
    "negative split": ("splits", split(FRI, -2.0, 1.0), "no plausible amount or ratio", FRI_DATE),
    "split of nan": ("splits", split(FRI, math.nan, 1.0), "no plausible amount or ratio", FRI_DATE),
    "split of infinity": ("splits", split(FRI, math.inf, 1.0), "no plausible amount or ratio", FRI_DATE),
    "endless split": ("splits", split(FRI, 10_001, 1), "no plausible amount or ratio", FRI_DATE),
    "split of true": ("splits", split(FRI, True, 1), "no plausible amount or ratio", FRI_DATE),
    "split in text": ("splits", {"date": FRI, "splitRatio": "2:1"}, "no plausible amount or ratio", FRI_DATE),
    "no amount": ("dividends", {"date": FRI}, "no plausible amount or ratio", FRI_DATE),
    "null amount": ("dividends", {"date": FRI, "amount": None}, "no plausible amount or ratio", FRI_DATE),
    "amount of nan": ("dividends", dividend(FRI, math.nan), "no plausible amount or ratio", FRI_DATE),
    "negative amount": ("dividends", dividend(FRI, -0.5), "no plausible amount or ratio", FRI_DATE),
    "a million": ("dividends", dividend(FRI, 1e6), "no plausible amount or ratio", FRI_DATE),
    "amount of true": ("dividends", dividend(FRI, True), "no plausible amount or ratio", FRI_DATE),
    "amount in text": ("dividends", {"date": FRI, "amount": "0.5"}, "no plausible amount or ratio", FRI_DATE),
    "no date": ("dividends", {"amount": 0.5}, "no date", None),
    "null date": ("dividends", {"amount": 0.5, "date": None}, "no date", None),
    "date of true": ("dividends", {"amount": 0.5, "date": True}, "no date", None),
    "date in text": ("dividends", {"amount": 0.5, "date": str(FRI)}, "no date", None),
    "date of no calendar": ("splits", split(10**15, 2, 1), "no date", None),
    "null event": ("splits", None, "no date", None),
    "event in text": ("splits", "2:1", "no date", None),
    "of 1970": ("splits", split(0, 2, 1), "before 1993-01-29", dt.date(1969, 12, 31)),
    "in the future": ("dividends", dividend(TUE + 86_400, 0.5), "in the future", dt.date(2024, 3, 13)),
}


@pytest.mark.parametrize(("kind", "event", "reason", "day"), ODD_EVENTS.values(), ids=ODD_EVENTS.keys())
def test_an_event_that_cannot_be_one_costs_no_bar_and_no_other_event(
    kind: str, event: Any, reason: str, day: dt.date | None
) -> None:
    events: dict[str, Any] = {"dividends": {"x": dividend(MON, 0.24)}, "splits": {"x": split(MON, 2, 1)}}
    events[kind] = {"odd": event} | events[kind]
    payload = make_chart([row(THU), row(FRI), row(MON)], events=events)
    assert [(bar.trade_date, bar.dividend, bar.split_ratio) for bar in bars_of(payload, *WINDOW)] == [
        (THU_DATE, 0.0, 1.0),
        (FRI_DATE, 0.0, 1.0),
        (MON_DATE, 0.24, 2.0),
    ]
    ((found, (part,)),) = find_skipped_events(parse_chart(payload), TUE_DATE).items()
    assert (found, part.name) == (reason, None if day is None else str(day))


@pytest.mark.parametrize(
    "events", ["odd", [1], {"dividends": [dividend(FRI, 0.5)]}, {"splits": "2:1"}, {"dividends": 5, "splits": {}}]
)
def test_events_of_another_shape_cost_no_bar(events: Any) -> None:
    payload = make_chart([row(THU)], events=events)
    assert len(bars_of(payload, *WINDOW)) == 1
    assert list(find_skipped_events(parse_chart(payload), TUE_DATE)) == ["no date"]


def test_a_sound_chart_skips_no_event() -> None:
    events = {"dividends": {"a": dividend(FRI, 0.24)}, "splits": {"b": split(TUE, 1, 20)}, "capitalGains": {"c": True}}
    assert find_skipped_events(parse_chart(make_chart([row(THU)], events=events)), TUE_DATE) == {}


def recorded(shared_data: Path, name: str) -> Any:
    return json.loads((shared_data / "yahoo_responses" / name).read_text())


def test_a_recorded_split_and_dividend(shared_data: Path) -> None:
    bars = bars_of(
        recorded(shared_data, "chart_AAPL_split_and_dividend.json"), dt.date(2020, 8, 31), dt.date(2020, 11, 6)
    )
    require_chart_of(recorded(shared_data, "chart_AAPL_split_and_dividend.json"), "AAPL")
    # AAPL split 4:1 on 2020-08-31 and went ex 0.205 on 2020-11-06.
    assert [(bar.trade_date, bar.split_ratio) for bar in bars if bar.split_ratio != 1] == [(dt.date(2020, 8, 31), 4.0)]
    assert [(bar.trade_date, bar.dividend) for bar in bars if bar.dividend] == [(dt.date(2020, 11, 6), 0.205)]
    assert len(bars) == 49  # XNYS sessions from 2020-08-31 to 2020-11-06: 1 + 21 + 22 + 5


def test_a_recorded_null_row_is_not_a_bar(shared_data: Path) -> None:
    bars = bars_of(recorded(shared_data, "chart_null_bar.json"), dt.date(2017, 7, 1), dt.date(2017, 7, 31))
    assert [bar.trade_date.day for bar in bars] == [10, 12, 13]


def test_a_recorded_shell_without_prices_is_no_data(shared_data: Path) -> None:
    with pytest.raises(FetchError) as caught:
        bars_of(recorded(shared_data, "chart_AAPL_empty_no_timestamp.json"), *WINDOW)
    assert caught.value.outcome is Outcome.NO_DATA


@pytest.mark.parametrize(
    ("name", "ticker", "message"),
    [
        ("chart_OCDO.L_GBp.json", "OCDO.L", "the prices are in GBp, not in USD"),
        ("chart_AAPL_dividend_events.json", "AAPL", "this chart has one row per 1mo, not per 1d"),
        ("chart_MSFT_6mo_dividends.json", "AAPL", "this is the chart of MSFT"),
    ],
)
def test_a_recorded_chart_of_something_else_is_named(shared_data: Path, name: str, ticker: str, message: str) -> None:
    with pytest.raises(FetchError, match=f"^{message}$"):
        require_chart_of(recorded(shared_data, name), ticker)
