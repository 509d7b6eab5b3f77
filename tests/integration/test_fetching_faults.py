"""Broken answers: each ticker gets its outcome, no bar is invented, and what stays missing stops the stage."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from spark_app.storage.delta.staging import QUOTES_TABLE, Staging
from tests.emulator import YahooEmulator
from tests.integration.expected import Known, daily_prices, sessions_ending
from tests.integration.fetch_market import ALL_STOCKS, AS_OF, STAGE_1, STOCKS, fetch_market
from tests.integration.fetch_world import STAGE2, STAGE4, FetchWorld, each_once, right_prices, served_prices, waves_of
from tests.integration.world import differences, open_world, without_text

HOLE = dt.date(2024, 5, 2)
ALL_MAY_MISS = {"gate": {"etf_coverage": 0, "stock_coverage": 0}}

Edit = Callable[[dict[str, Any]], dict[str, Any]]


def edited(change: Callable[[dict[str, Any]], object]) -> Edit:
    """Change the result of a chart in place."""

    def edit(payload: dict[str, Any]) -> dict[str, Any]:
        change(payload["chart"]["result"][0])
        return payload

    return edit


def columns(result: dict[str, Any]) -> list[list[Any]]:
    indicators = result["indicators"]
    return [*indicators["quote"][0].values(), indicators["adjclose"][0]["adjclose"]]


def all_null(result: dict[str, Any]) -> None:
    for column in columns(result):
        column[:] = [None] * len(column)


def last_bar_twice(result: dict[str, Any]) -> None:
    for column in (result["timestamp"], *columns(result)):
        column.append(column[-1])
    result["timestamp"][-1] += 6 * 3600


def last_prices_null(result: dict[str, Any]) -> None:
    for name, column in result["indicators"]["quote"][0].items():
        column[-1] = column[-1] if name == "volume" else None
    result["indicators"]["adjclose"][0]["adjclose"][-1] = None


def without_session(day: dt.date) -> Edit:
    """Take the bar of one session out of a chart."""

    def cut(result: dict[str, Any]) -> None:
        dates = [dt.datetime.fromtimestamp(stamp, dt.UTC).date() for stamp in result["timestamp"]]
        place = dates.index(day)
        for column in (result["timestamp"], *columns(result)):
            del column[place]

    return edited(cut)


# The fault for good, the outcome, and how often the ticker is asked for where one retry is allowed.
FAULTS: dict[str, tuple[dict[str, Any], str, int]] = {
    "empty": ({"body": ""}, "malformed", 2),
    "HTML": ({"body": "<!DOCTYPE html><p>busy</p>"}, "malformed", 2),
    "cut JSON": ({"body": '{"chart":{"result":[{"me'}, "malformed", 2),
    "500": ({"status": 500}, "transient", 2),
    "401": ({"status": 401}, "transient", 4),
    "reset": ({"reset": True}, "transient", 2),
    "slow": ({"delay_seconds": 1.3}, "transient", 2),
    "null arrays": ({"edit": edited(all_null)}, "no_data", 2),
    "missing keys": ({"edit": edited(lambda result: result.pop("indicators"))}, "malformed", 1),
    "last bar double": ({"edit": edited(last_bar_twice)}, "ok", 1),
    # Fetched again, because the bar of the last session is missing.
    "last bar NaN": ({"edit": edited(last_prices_null)}, "ok", 2),
    # These pass.
    "500 once": ({"status": 500, "times": 1}, "ok", 2),
    "HTML once": ({"body": "<p>busy</p>", "times": 1}, "ok", 2),
}
BROKEN = dict(zip(ALL_STOCKS, FAULTS, strict=False))
"""Two in five of the stocks, each with a fault of its own."""


@pytest.fixture(scope="module")
def broken(home: Path, spark: SparkSession) -> Iterator[FetchWorld]:
    """An installation after stage 4, of whose charts many were broken."""
    with YahooEmulator(fetch_market()) as emulator, open_world(home, emulator) as world:
        opened = FetchWorld(world, spark)
        assert opened.run(STAGE2).exit_code == 0
        for ticker, name in BROKEN.items():
            emulator.fail("chart", ticker=ticker, **FAULTS[name][0])
        settings = ALL_MAY_MISS | waves_of(10, max_retries=1) | {"source": {"timeout_seconds": 1.0}}
        report = opened.run(STAGE4, settings=settings)
        assert report.exit_code == 0, report.message
        yield opened


def test_every_ticker_has_its_outcome(broken: FetchWorld) -> None:
    right = dict.fromkeys(ALL_STOCKS, "ok") | {ticker: FAULTS[name][1] for ticker, name in BROKEN.items()}
    assert broken.outcomes() == right
    asked = each_once(ALL_STOCKS) | {ticker: FAULTS[name][2] for ticker, name in BROKEN.items()}
    assert broken.asked() == asked


def test_no_bar_is_invented_and_none_is_lost(broken: FetchWorld) -> None:
    market = fetch_market()
    came = [ticker for ticker, outcome in broken.outcomes().items() if outcome == "ok"]
    right = daily_prices(Known(market.bars, market.events, {}, {}), came, AS_OF)
    without_last = next(ticker for ticker, name in BROKEN.items() if name == "last bar NaN")
    del right[without_last, AS_OF]
    served = without_text(broken.world.table("collected_daily_stock_history"))
    prices = {key: {c: row[c] for c in right.get(key, row)} for key, row in served.items()}
    assert not differences(prices, right)


@pytest.mark.parametrize(("ticker", "name"), BROKEN.items(), ids=BROKEN.values())
def test_what_was_wrong_is_in_the_error_log_with_its_raw_text(broken: FetchWorld, ticker: str, name: str) -> None:
    fault, outcome, _ = FAULTS[name]
    found = [(text, raw) for text, raw in broken.errors() if f"of {ticker}" in text]
    if name == "last bar NaN":
        assert [text for text, _ in found] == [f"bar of {ticker} {AS_OF}: open_price is null"]
    elif outcome == "ok":
        assert not found
    else:
        assert len(found) == 1
        assert f"chart of {ticker}: {outcome}: " in found[0][0]
        if "body" in fault:
            assert found[0][1] == (fault["body"] or None)


def test_a_session_that_the_second_answer_has_is_healed(fetch_world: FetchWorld) -> None:
    fetch_world.world.emulator.fail("chart", ticker="XLK", times=1, edit=without_session(HOLE))
    report = fetch_world.run(settings=waves_of(5))
    assert report.exit_code == 0, report.message
    assert fetch_world.asked() == each_once(STAGE_1) | {"XLK": 2}
    assert not differences(served_prices(fetch_world), right_prices())


def test_a_session_missing_for_four_funds_stops_the_stage_and_only_they_are_asked_again(
    fetch_world: FetchWorld,
) -> None:
    four = ("SPY", "XLC", "XLP", "XLY")
    for fund in four:
        fetch_world.world.emulator.market.drop_bars(fund, HOLE)
    report = fetch_world.run(settings=waves_of(5))
    assert (report.exit_code, report.status) == (65, "incomplete")
    assert all(f"{fund} {HOLE}" in report.message for fund in four)
    assert fetch_world.asked() == each_once(STAGE_1) | dict.fromkeys(four, 2)
    assert served_prices(fetch_world) == {}
    assert len(fetch_world.staged("bars")) == 13 * 22 - 4

    fetch_world.world.emulator.market = fetch_market()
    fetch_world.forget_log()
    assert fetch_world.run().exit_code == 0
    assert fetch_world.asked() == each_once(four)
    assert not differences(served_prices(fetch_world), right_prices())


def test_the_benchmark_must_miss_nothing_whatever_the_coverage(fetch_world: FetchWorld) -> None:
    emulator = fetch_world.world.emulator
    emulator.market.drop_bars("XLK", HOLE)
    emulator.fail("chart", ticker="SPY", edit=edited(all_null))
    report = fetch_world.run(settings=ALL_MAY_MISS)
    assert report.exit_code == 65
    assert "SPY 21 sessions" in report.message
    emulator.faults.clear()
    assert fetch_world.run(settings=ALL_MAY_MISS).exit_code == 0


def test_a_fund_of_which_nothing_comes_is_missing(fetch_world: FetchWorld) -> None:
    fetch_world.world.emulator.fail("chart", ticker="XLK", edit=edited(all_null))
    report = fetch_world.run()
    assert report.exit_code == 65, report.message
    assert "XLK 21 sessions" in report.message


def test_a_fund_without_holdings_stops_the_stage_and_is_asked_again(fetch_world: FetchWorld) -> None:
    snapshot = fetch_world.world.emulator.market.holdings.pop("XLK")
    assert fetch_world.run(STAGE2).exit_code == 65
    assert fetch_world.world.table("collected_meta_etf") == {}
    fetch_world.world.emulator.market.holdings["XLK"] = snapshot
    fetch_world.forget_log()
    assert fetch_world.run(STAGE2).exit_code == 0
    assert fetch_world.asked("workbook") == {"XLK": 1}


def test_holdings_without_a_share_that_cannot_be_spelt_are_served_only_if_the_setting_says_so(
    fetch_world: FetchWorld,
) -> None:
    holdings = fetch_world.world.emulator.market.holdings
    largest, *others = holdings["XLB"].holdings
    holdings["XLB"] = holdings["XLB"]._replace(holdings=(largest._replace(ticker="BAA GY"), *others))
    assert fetch_world.run(STAGE2).exit_code == 65
    assert fetch_world.world.table("collected_meta_etf") == {}
    (error,) = [message for message, _ in fetch_world.errors() if "malformed" in message]
    assert error == (
        "holdings of XLB: malformed: skipped rows carry 30.00 % of the fund, "
        "and gate.skipped_holdings_percent allows 5 %: BAA GY BAA INC (30 %)"
    )
    report = fetch_world.run(STAGE2, settings={"gate": {"skipped_holdings_percent": 30}})
    assert report.exit_code == 0, report.message
    assert sorted(key[1] for key in fetch_world.world.table("collected_meta_etf") if key[0] == "XLB") == ["BBB", "BCC"]


@pytest.mark.parametrize("provider", ["issuer", "yahoo"])
def test_weights_that_sum_to_250_percent_are_refused_and_the_snapshot_before_still_serves(
    fetch_world: FetchWorld, provider: str
) -> None:
    settings = {"source": {"holdings_provider": provider}}
    assert fetch_world.run(STAGE2, settings=settings).exit_code == 0
    before = without_text(fetch_world.world.table("collected_meta_etf"))
    holdings = fetch_world.world.emulator.market.holdings
    largest, second, third = holdings["XLB"].holdings
    wrong = (largest._replace(percent=130.0), second._replace(percent=100.0), third._replace(percent=20.0))
    holdings["XLB"] = holdings["XLB"]._replace(holdings=wrong)
    report = fetch_world.run(STAGE2, settings=settings, refresh=True)
    assert report.exit_code == 65
    assert "no data for 1 of 12 funds: XLB (malformed: " in report.message
    assert "sum to 250.00 %, expected " in report.message
    assert without_text(fetch_world.world.table("collected_meta_etf")) == before


def test_a_larger_window_does_not_take_what_was_never_asked_for_as_there(fetch_world: FetchWorld) -> None:
    older = sessions_ending(AS_OF, 15)
    assert fetch_world.run(days=5).exit_code == 0
    fetch_world.world.emulator.fail("chart", ticker="XLK", status=500)
    fetch_world.world.emulator.market.drop_bars("XLV", older[3])
    report = fetch_world.run(days=15, settings=waves_of(5, max_retries=0))
    assert report.exit_code == 65
    # The first of six sessions asked for at first was not served, but it is there.
    assert f"XLK 9 sessions from {older[0]} to {older[8]}" in report.message
    assert f"XLV {older[3]}" in report.message


def test_stocks_may_miss_one_bar_in_twenty_and_begin_late(fetch_world: FetchWorld) -> None:
    market, window = fetch_world.world.emulator.market, sessions_ending(AS_OF, 10)
    assert fetch_world.run(STAGE2).exit_code == 0
    late, (two, other, third) = STOCKS["XLK"][0], STOCKS["XLF"]
    market.bars[late] = tuple(bar for bar in market.bars[late] if bar.trade_date >= window[6])
    # 32 stocks with ten sessions and one with four: 324 bars; one in twenty of them are 16.2.
    market.drop_bars(two, *window[1:9])
    market.drop_bars(other, *window[1:9])
    market.drop_bars(third, window[4])
    report = fetch_world.run(STAGE4, days=10)
    assert report.exit_code == 65
    assert f"{third} {window[4]}" in report.message
    assert fetch_world.asked() == each_once(ALL_STOCKS) | {two: 2, other: 2, third: 2}

    market.bars[third] = fetch_market().bars[third]
    fetch_world.forget_log()
    report = fetch_world.run(STAGE4, days=10)
    assert report.exit_code == 0, report.message
    assert fetch_world.asked() == {two: 2, other: 2, third: 1}
    assert fetch_world.asked("quote") == {}


def test_an_implausible_quote_in_staging_neither_stops_a_run_nor_moves_its_window(fetch_world: FetchWorld) -> None:
    assert fetch_world.run(STAGE2).exit_code == 0
    quote = "TIMESTAMP'{0} 00:00:00' quoted_at, DATE'{0}' quote_date, 5L market_cap, 1D price, 'Old' long_name"
    other = "'Old' short_name, TIMESTAMP'2024-05-10 22:00:00' fetched_at, 'run' run_id, 'yahoo' source"
    days = dict(zip(ALL_STOCKS, ("0005-01-01", "1970-01-01", "9999-12-31"), strict=False))
    rows = [f"SELECT '{ticker}' ticker, {quote.format(day)}, {other}" for ticker, day in days.items()]
    staging = Staging(fetch_world.spark, str(fetch_world.world.home / "staging"), "real")
    staging.append(QUOTES_TABLE, fetch_world.spark.sql(" UNION ALL ".join(rows)))
    # The first of them lacks a sound quote: one stock may.
    del fetch_world.world.emulator.market.quotes[ALL_STOCKS[0]]
    report = fetch_world.run(STAGE4)
    assert report.exit_code == 0, report.message
    assert len({request.query["period1"] for request in fetch_world.world.emulator.log.of("chart")}) == 1
    served = fetch_world.world.table("collected_daily_stock_history")
    names = {ticker: row["company_name"] for (ticker, _), row in served.items()}
    assert [names[ticker] for ticker in days] == [None, "Stock 2", "Stock 3"]


def test_bad_parts_of_answers_cost_only_themselves(fetch_world: FetchWorld) -> None:
    def put_events(result: dict[str, Any]) -> None:
        stamp = result["timestamp"][-1]
        result["events"] = {"splits": {"a": {"date": stamp, "numerator": 1.0, "denominator": 0.0}}}

    def spoil_volume(result: dict[str, Any]) -> None:
        result["indicators"]["quote"][0]["volume"][-1] = True

    def drop_time(payload: Any) -> Any:
        del payload["quoteResponse"]["result"][0]["regularMarketTime"]
        return payload

    odd, spoilt, *_ = ALL_STOCKS
    emulator = fetch_world.world.emulator
    assert fetch_world.run(STAGE2).exit_code == 0
    emulator.fail("chart", ticker=odd, edit=edited(put_events))
    emulator.fail("chart", ticker=spoilt, times=1, edit=edited(spoil_volume))
    emulator.fail("quote", edit=drop_time)
    settings: dict[str, Any] = {"gate": {"stock_coverage": 0.99}}
    report = fetch_world.run(STAGE4, settings=settings)
    assert report.exit_code == 0, report.message
    assert fetch_world.asked() == each_once(ALL_STOCKS) | {spoilt: 2}
    market = fetch_market()
    right = daily_prices(Known(market.bars, market.events, {}, {}), ALL_STOCKS, AS_OF)
    served = without_text(fetch_world.world.table("collected_daily_stock_history"))
    assert not differences({key: {c: row[c] for c in right.get(key, row)} for key, row in served.items()}, right)
    said = {text for text, _ in fetch_world.errors()}
    assert {text for text in said if text.startswith("chart")} == {
        f"chart of {odd}: events skipped, no plausible amount or ratio: 2024-05-10",
        f"chart of {spoilt}: rows skipped, a value cannot be read: 2024-05-10",
    }
    assert {text for text in said if text.startswith("quote")} == {
        f"quote of {odd}: malformed: Yahoo's quote of {odd} cannot be read: ValueError: a time is missing"
    }


@pytest.mark.parametrize("coverage", [0.99, 1.0])
def test_a_chart_of_another_fund_is_never_served(fetch_world: FetchWorld, coverage: float) -> None:
    wrong: dict[str, Any] = {}

    def keep(payload: Any) -> Any:
        wrong.update(payload)
        return payload

    emulator = fetch_world.world.emulator
    emulator.fail("chart", ticker="XLK", edit=keep)
    assert fetch_world.run().exit_code == 0
    emulator.faults.clear()
    emulator.fail("chart", ticker="XLE", edit=lambda _: wrong)
    report = fetch_world.run(refresh=True, as_of=AS_OF, settings={"gate": {"etf_coverage": coverage}})
    assert "chart of XLE: malformed: this is the chart of XLK" in {text for text, _ in fetch_world.errors()}
    assert not differences(served_prices(fetch_world), right_prices()), report.message
