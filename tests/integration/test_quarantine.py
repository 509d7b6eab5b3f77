"""Rows that break a rule: none is served, each is named with rule, run and raw text; an outlier is served and named."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from tests.emulator.market import new_york_stamp
from tests.integration.fetch_market import AS_OF, LAST_DAY, MORNING_AFTER
from tests.integration.fetch_world import FetchWorld, served_prices
from tests.integration.test_fetching_restatements import fall

DAY, BEFORE, SATURDAY = dt.date(2024, 5, 2), dt.date(2024, 5, 1), dt.date(2024, 5, 4)
FUTURE = dt.date(2100, 1, 4)
ALL_MAY_MISS = {"gate": {"etf_coverage": 0}}

Result = dict[str, Any]


def place_of(result: Result, day: dt.date) -> int:
    place: int = result["timestamp"].index(new_york_stamp(day, 9, 30))
    return place


def with_value(column: str, value: float) -> Callable[[Result], None]:
    def change(result: Result) -> None:
        result["indicators"]["quote"][0][column][place_of(result, DAY)] = value

    return change


def with_row(day: dt.date) -> Callable[[Result], None]:
    """A copy of the row of `DAY`, of another day."""

    def add(result: Result) -> None:
        place = place_of(result, DAY)
        result["timestamp"].append(new_york_stamp(day, 9, 30))
        for values in (*result["indicators"]["quote"][0].values(), result["indicators"]["adjclose"][0]["adjclose"]):
            values.append(values[place])

    return add


# What is wrong with a fund's chart, what the log says of it, and a word of its raw text.
BROKEN: dict[str, tuple[Callable[[Result], None], str, str]] = {
    "XLK": (with_value("close", float("inf")), f"bar of XLK {DAY}: close_price is not finite", "close_price=inf"),
    "XLV": (with_value("open", -1), f"bar of XLV {DAY}: open_price is not positive", "open_price=-1.0"),
    "XLF": (with_value("high", 1), f"bar of XLF {DAY}: high_price is below low_price", "high_price=1.0"),
    "XLE": (
        with_row(SATURDAY),
        f"bar of XLE {SATURDAY}: {SATURDAY} is not a completed session",
        f"trade_date={SATURDAY}",
    ),
    "XLY": (with_row(FUTURE), f"chart of XLY: rows skipped, in the future: {FUTURE}", "datetime.date(2100, 1, 4)"),
    "XLP": (
        with_row(DAY),
        f"chart of XLP: rows skipped, duplicate date, the later row is used: {DAY}",
        "datetime.date(2024, 5, 2)",
    ),
}


def test_rows_that_break_a_rule_are_named_and_not_served(fetch_world: FetchWorld) -> None:
    def edit(change: Callable[[Result], None]) -> Callable[[Any], Any]:
        def changed(payload: Any) -> Any:
            change(payload["chart"]["result"][0])
            return payload

        return changed

    for ticker, (change, _, _) in BROKEN.items():
        fetch_world.world.emulator.fail("chart", ticker=ticker, edit=edit(change))
    report = fetch_world.run(settings=ALL_MAY_MISS)
    assert report.exit_code == 0, report.message
    said = fetch_world.world.query("SELECT error_msg, raw_value, stage, run_id FROM logs_consumer_error")
    for ticker, (_, message, raw) in BROKEN.items():
        found = [row for row in said if f"of {ticker}" in row[0]]
        # XLK and its like are fetched again, because the bar is missing.
        assert {row[0] for row in found} == {message}
        assert all(raw in row[1] and row[2:] == ("stage1_etf_ohlc", report.run_id) for row in found)
    assert "4 bars rejected (see logs_consumer_error)" in report.message
    assert "2 charts partially parsed (see logs_consumer_error)" in report.message
    assert report.rows_rejected == 4
    served = served_prices(fetch_world)
    assert [key for key in served if key[1] in (SATURDAY, FUTURE)] == []
    assert {ticker for ticker in BROKEN if (ticker, DAY) not in served} == {"XLK", "XLV", "XLF"}


def test_an_outlier_that_nothing_explains_is_served_and_reported_once(fetch_world: FetchWorld) -> None:
    market = fetch_world.world.emulator.market
    for ticker, to in (("XLK", 0.5), ("XLE", 0.6), ("XLF", 0.5), ("XLU", 0.8)):
        fall(market, ticker, to=to, since=AS_OF)
    market.add_dividend(
        "XLE", AS_OF, 0.4 * next(b.close for b in market.bars["XLE"] if b.close and b.trade_date == dt.date(2024, 5, 9))
    )
    market.add_split("XLF", LAST_DAY, 2.0)
    report = fetch_world.run()
    assert report.exit_code == 0, report.message
    outliers = [(text, raw) for text, raw in fetch_world.errors() if "outlier" in text]
    words = "% that neither a split nor a dividend explains; the bar is kept"
    assert [text.split(" outlier of ")[0] for text, _ in outliers] == [f"bar of XLF {AS_OF}:", f"bar of XLK {AS_OF}:"]
    assert all(text.endswith(words) for text, _ in outliers)
    assert f"2 outliers (see logs_consumer_error): XLF {AS_OF} -4" in report.message
    assert {("XLK", AS_OF), ("XLF", AS_OF)} <= served_prices(fetch_world).keys()
    assert report.rows_rejected == 0

    again = fetch_world.run(refresh=True, now=MORNING_AFTER)
    assert "outlier" not in again.message
    assert len([text for text, _ in fetch_world.errors() if "outlier" in text]) == 2


def test_an_outlier_is_reported_although_the_run_that_staged_it_was_killed(
    fetch_world: FetchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    fall(fetch_world.world.emulator.market, "XLK", to=0.5, since=AS_OF)
    with monkeypatch.context() as until_killed:
        until_killed.setattr("spark_app.pipeline.execution.publish", kill)
        with pytest.raises(Killed):
            fetch_world.run()
    assert fetch_world.errors() == []
    assert fetch_world.run().exit_code == 0
    assert [text.split(" outlier of ")[0] for text, _ in fetch_world.errors()] == [f"bar of XLK {AS_OF}:"]


class Killed(BaseException):
    """The end of a run at once: nothing of it is closed."""


def kill(*_: object, **__: object) -> None:
    raise Killed
