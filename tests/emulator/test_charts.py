import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from tests.emulator import Bar, Event, Quote, YahooEmulator
from tests.emulator.clients import Get
from tests.emulator.market import NEW_YORK
from tests.emulator.sample import API, JANUARY_2, JANUARY_3, OPEN_OF_JANUARY_2, OPEN_OF_JANUARY_3, SPY_CHART


def _shape(value: Any) -> Any:
    """Reduce JSON to its keys and types; int and float are one type in JSON."""
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shape(value[0])] if value else []
    return "number" if type(value) in (int, float) else type(value).__name__


def _result(get: Get, url: str) -> Any:
    return get(url).json["chart"]["result"][0]


@pytest.mark.parametrize(
    ("start", "stamps"),
    [
        (OPEN_OF_JANUARY_2, [OPEN_OF_JANUARY_2]),
        (OPEN_OF_JANUARY_2 + 1, None),
        (0, [OPEN_OF_JANUARY_2]),
    ],
)
def test_window_includes_its_start_and_excludes_its_end(get: Get, start: int, stamps: list[int] | None) -> None:
    reply = get(f"{API}/v8/finance/chart/SPY?period1={start}&period2={OPEN_OF_JANUARY_3}")

    assert (reply.json["chart"]["result"][0]["timestamp"] if reply.status == 200 else None) == stamps


def test_summer_sessions_open_an_hour_earlier_in_utc(emulator: YahooEmulator, get: Get) -> None:
    emulator.market.add_bars("AAPL", Bar(dt.date(2020, 8, 31), 1.0, 1.0, 1.0, 1.0, 1.0, 1))

    assert _result(get, f"{API}/v8/finance/chart/AAPL?range=max")["timestamp"] == [1598880600]


def test_null_values_stay_null_and_gaps_have_no_row(emulator: YahooEmulator, get: Get) -> None:
    emulator.market.add_bars("SPY", Bar(JANUARY_2, None, float("nan"), 9.0, None, None, None))
    emulator.market.drop_bars("SPY", JANUARY_3)

    result = _result(get, SPY_CHART)

    assert result["timestamp"] == [OPEN_OF_JANUARY_2]
    assert result["indicators"] == {
        "quote": [{"open": [None], "high": [None], "low": [9.0], "close": [None], "volume": [None]}],
        "adjclose": [{"adjclose": [None]}],
    }


def test_row_of_an_open_session_bears_the_last_trade(emulator: YahooEmulator, get: Get) -> None:
    noon = dt.datetime(2025, 1, 3, 12, 0, tzinfo=NEW_YORK)
    live = Bar(JANUARY_3, 11.0, 12.5, 10.0, 10.9, 10.9, 120, traded_at=noon)
    emulator.market.add_bars("SPY", emulator.market.bars["SPY"][1], live)

    result = _result(get, SPY_CHART)

    assert result["timestamp"] == [OPEN_OF_JANUARY_2, OPEN_OF_JANUARY_3, OPEN_OF_JANUARY_3 + 9000]
    assert result["meta"]["regularMarketTime"] == OPEN_OF_JANUARY_3 + 9000


def test_events_are_keyed_by_their_stamp(emulator: YahooEmulator, get: Get) -> None:
    emulator.market.events["SPY"] = (Event(JANUARY_2, split_ratio=1.231), Event(JANUARY_3, dividend=0.24))
    stamp = OPEN_OF_JANUARY_2

    assert _result(get, SPY_CHART)["events"] == {
        "dividends": {str(OPEN_OF_JANUARY_3): {"amount": 0.24, "date": OPEN_OF_JANUARY_3}},
        "splits": {str(stamp): {"date": stamp, "numerator": 1231, "denominator": 1000, "splitRatio": "1231:1000"}},
    }
    assert "splits" not in _result(get, SPY_CHART.replace("div,splits", "div"))["events"]
    assert "events" not in _result(get, SPY_CHART.replace("&events=div,splits", ""))


@pytest.mark.parametrize(("name", "count"), [("1d", 1), ("5d", 5), ("1mo", 32), ("ytd", 36), ("1y", 60), ("max", 60)])
def test_range_ends_with_the_last_row(emulator: YahooEmulator, get: Get, name: str, count: int) -> None:
    last = dt.date(2025, 2, 5)
    days = (last - dt.timedelta(days=i) for i in range(60))
    emulator.market.add_bars("QQQ", *(Bar(day, 1.0, 1.0, 1.0, 1.0, 1.0, 1) for day in days))

    result = _result(get, f"{API}/v8/finance/chart/QQQ?range={name}&interval=1d")

    assert len(result["timestamp"]) == count
    assert result["meta"]["range"] == name
    assert result["timestamp"][-1] == 1738765800  # 2025-02-05 14:30 UTC


def test_unknown_symbol_gets_the_recorded_404(get: Get, recorded: Callable[[str], Any]) -> None:
    reply = get(SPY_CHART.replace("SPY", "GONE"))

    assert reply.status == 404
    assert reply.json == recorded("error_404_chart_delisted.json")


def test_window_without_rows_gets_400(get: Get) -> None:
    reply = get(f"{API}/v8/finance/chart/SPY?period1=1&period2=2")

    assert reply.status == 400
    assert reply.json["chart"]["error"] == {
        "code": "Bad Request",
        "description": "Data doesn't exist for startDate = 1, endDate = 2",
    }


def test_other_intervals_get_422(get: Get) -> None:
    assert get(SPY_CHART.replace("interval=1d", "interval=1h")).status == 422


def test_escaped_symbols_are_understood(emulator: YahooEmulator, get: Get) -> None:
    emulator.market.add_bars("^GSPC", Bar(JANUARY_2, 1.0, 1.0, 1.0, 1.0, 1.0, 1))

    assert get(f"{API}/v8/finance/chart/%5EGSPC").status == 200


def test_prices_come_as_given_or_as_yahoos_float32(emulator: YahooEmulator, get: Get) -> None:
    emulator.market.add_bars("SPY", Bar(JANUARY_3, 681.69, 686.28, 677.52, 681.75, 269.7, 96267500))

    as_given = _result(get, SPY_CHART)["indicators"]
    emulator.float32 = True
    as_float32 = _result(get, SPY_CHART)["indicators"]

    assert as_given["quote"][0]["open"][-1] == 681.69
    # as recorded of SPY on 2026-02-13, and of AAPL's close of 269.7
    assert [as_float32["quote"][0][name][-1] for name in ("open", "high", "low", "close")] == [
        681.6900024414062,
        686.280029296875,
        677.52001953125,
        681.75,
    ]
    assert as_float32["adjclose"][0]["adjclose"][-1] == 269.70001220703125


@pytest.mark.parametrize("file", ["chart_QQQ_1d_ok.json", "chart_AAPL_split_and_dividend.json"])
def test_chart_has_the_shape_of_recorded_charts(
    emulator: YahooEmulator, get: Get, recorded: Callable[[str], Any], file: str
) -> None:
    expected = recorded(file)
    if "events" in expected["chart"]["result"][0]:
        emulator.market.events["SPY"] = (Event(JANUARY_2, split_ratio=4.0), Event(JANUARY_3, dividend=0.24))
    emulator.market.quotes["SPY"] = Quote(1, 11.0, dt.datetime.now(dt.UTC), "SPDR S&P 500", "SPDR", "ETF")

    assert _shape(_without_stamps(get(SPY_CHART).json)) == _shape(_without_stamps(expected))


def _without_stamps(chart: Any) -> Any:
    for event in chart["chart"]["result"][0].get("events", {}).values():
        for stamp in list(event):
            event["stamp"] = event.pop(stamp)
    return chart
