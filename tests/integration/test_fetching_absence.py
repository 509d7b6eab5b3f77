"""Data that is absent, or that begins late or ends early: what is believed of it, and when."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from tests.emulator import Market
from tests.emulator.market import new_york_stamp
from tests.integration.expected import sessions_ending
from tests.integration.fetch_market import ALL_STOCKS, AS_OF, STAGE_1, STOCKS, fetch_market
from tests.integration.fetch_world import STAGE2, STAGE4, FetchWorld, each_once, right_prices, served_prices
from tests.integration.world import differences

HISTORY = "collected_daily_stock_history"
ALL_NEEDED = {"gate": {"stock_coverage": 1}}
DAY = dt.timedelta(days=1)
GONE = STOCKS["XLF"][1]


def since(day: dt.date) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Take all rows before a day out of a chart; its meta keeps the date of the first trade."""

    def cut(payload: dict[str, Any]) -> dict[str, Any]:
        result = payload["chart"]["result"][0]
        keep = [place for place, stamp in enumerate(result["timestamp"]) if stamp >= new_york_stamp(day, 0)]
        indicators = result["indicators"]
        for columns in (result, indicators["quote"][0], indicators["adjclose"][0]):
            for name, column in columns.items():
                if isinstance(column, list):
                    columns[name] = [column[place] for place in keep]
        return payload

    return cut


def last_quote_only(payload: dict[str, Any]) -> dict[str, Any]:
    del payload["quoteResponse"]["result"][:-1]
    return payload


def without_charts(tickers: Sequence[str]) -> Market:
    """A market in which Yahoo says of the charts of `tickers` that they may be delisted."""
    market = fetch_market()
    for ticker in tickers:
        del market.bars[ticker]
    return market


def test_a_chart_of_a_fund_with_its_last_sessions_only_is_no_listing(fetch_world: FetchWorld) -> None:
    window = sessions_ending(AS_OF, 21)
    for fund in ("SPY", "XLK"):
        fetch_world.world.emulator.fail("chart", ticker=fund, edit=since(window[17]))
    report = fetch_world.run()
    assert (report.exit_code, report.status) == (65, "incomplete")
    for fund in ("SPY", "XLK"):
        assert f"{fund} 17 sessions from {window[0]} to {window[16]}" in report.message
    assert fetch_world.asked() == each_once(STAGE_1) | {"SPY": 2, "XLK": 2}
    assert served_prices(fetch_world) == {}

    fetch_world.world.emulator.faults.clear()
    fetch_world.forget_log()
    assert fetch_world.run().exit_code == 0
    assert fetch_world.asked() == each_once(["SPY", "XLK"])
    assert not differences(served_prices(fetch_world), right_prices())


def test_a_chart_of_a_stock_with_its_last_sessions_only_is_no_listing(fetch_world: FetchWorld) -> None:
    window = sessions_ending(AS_OF, 21)
    short, new = STOCKS["XLK"][:2]
    fetch_world.world.emulator.fail("chart", ticker=short, edit=since(window[17]))
    market = fetch_world.world.emulator.market
    market.bars[new] = tuple(bar for bar in market.bars[new] if bar.trade_date >= window[17])
    assert fetch_world.run(STAGE2).exit_code == 0
    report = fetch_world.run(STAGE4, settings=ALL_NEEDED)
    assert report.exit_code == 65
    assert f"bars are missing: {short} 17 sessions from {window[0]} to {window[16]}; " in report.message
    assert fetch_world.asked() == each_once(ALL_STOCKS) | {short: 2}

    fetch_world.world.emulator.faults.clear()
    fetch_world.forget_log()
    assert fetch_world.run(STAGE4, settings=ALL_NEEDED).exit_code == 0
    assert fetch_world.asked() == each_once([short])
    assert len(fetch_world.world.table(HISTORY)) == 33 * 21 - 17


def test_charts_that_are_absent_all_at_once_are_missing(fetch_world: FetchWorld) -> None:
    lost = ALL_STOCKS[:28]
    assert fetch_world.run(STAGE2).exit_code == 0
    fetch_world.world.emulator.market = without_charts(lost)
    report = fetch_world.run(STAGE4)
    assert (report.exit_code, report.status) == (65, "incomplete")
    assert "no data for 28 of 33 stocks" in report.message
    assert fetch_world.asked() == each_once(ALL_STOCKS) | dict.fromkeys(lost, 2)
    assert fetch_world.world.table(HISTORY) == {}

    # A second day does not make that many of them true.
    fetch_world.date_back(lost, DAY)
    assert fetch_world.run(STAGE4).exit_code == 65

    fetch_world.world.emulator.market = fetch_market()
    fetch_world.forget_log()
    assert fetch_world.run(STAGE4).exit_code == 0
    assert fetch_world.asked() == each_once(lost)
    assert fetch_world.asked("quote") == {}
    assert len(fetch_world.world.table(HISTORY)) == 33 * 21


def test_an_answer_with_the_last_quote_only_is_missing_the_others(fetch_world: FetchWorld) -> None:
    assert fetch_world.run(STAGE2).exit_code == 0
    fetch_world.world.emulator.fail("quote", edit=last_quote_only)
    report = fetch_world.run(STAGE4)
    assert (report.exit_code, report.status) == (65, "incomplete")
    assert "no data for 31 of 33 quotes" in report.message
    # The second request, for the other 32, brings the last of them.
    assert fetch_world.asked("quote") == dict.fromkeys(ALL_STOCKS, 2) | {ALL_STOCKS[-1]: 1}
    assert fetch_world.world.table(HISTORY) == {}

    fetch_world.world.emulator.faults.clear()
    fetch_world.forget_log()
    assert fetch_world.run(STAGE4).exit_code == 0
    assert fetch_world.asked("quote") == each_once(ALL_STOCKS[:-2])
    assert fetch_world.asked() == {}


def test_an_absence_leaves_the_gate_and_is_cached_once_another_day_confirms_it(fetch_world: FetchWorld) -> None:
    assert fetch_world.run(STAGE2).exit_code == 0
    fetch_world.world.emulator.market = without_charts([GONE])
    del fetch_world.world.emulator.market.quotes[GONE]
    first = fetch_world.run(STAGE4, settings=ALL_NEEDED)
    assert first.exit_code == 65
    assert f"no data for 1 of 33 stocks: {GONE} (not_found: " in first.message
    fetch_world.forget_log()
    assert fetch_world.run(STAGE4, settings=ALL_NEEDED).exit_code == 65
    assert (fetch_world.asked(), fetch_world.asked("quote")) == ({GONE: 2}, {GONE: 2})

    fetch_world.date_back([GONE], DAY)
    fetch_world.forget_log()
    second = fetch_world.run(STAGE4, settings=ALL_NEEDED)
    assert second.exit_code == 0, second.message
    assert f"no longer listed: {GONE}" in second.message
    assert len(fetch_world.world.table(HISTORY)) == 32 * 21
    assert (fetch_world.asked(), fetch_world.asked("quote")) == ({}, {})


def test_the_chart_of_a_delisted_stock_ends_and_the_stage_goes_on(fetch_world: FetchWorld) -> None:
    assert fetch_world.run(STAGE2).exit_code == 0
    assert fetch_world.run().exit_code == 0
    fetch_world.forget_log()
    market, window = fetch_world.world.emulator.market, sessions_ending(AS_OF, 21)
    ended = STOCKS["XLB"][0]
    for ticker, last in ((GONE, window[16]), (ended, window[15])):
        market.bars[ticker] = tuple(bar for bar in market.bars[ticker] if bar.trade_date <= last)
    report = fetch_world.run(STAGE4, settings=ALL_NEEDED)
    assert report.exit_code == 65
    assert f"bars are missing: {GONE} 4 sessions from {window[17]} to {AS_OF}; " in report.message

    earlier = {"gate": {"stock_coverage": 1, "delisted_after_sessions": 4}}
    report = fetch_world.run(STAGE4, settings=earlier)
    assert report.exit_code == 0, report.message
    assert f"charts ended: {ended} {window[15]}, {GONE} {window[16]}" in report.message
    assert len(fetch_world.world.table(HISTORY)) == 33 * 21 - 4 - 5
