"""Known faults of Yahoo on every endpoint: the outcome, the number of requests, and the recovery."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from spark_app.sources import build
from spark_app.sources.contract import Answer, FetchRequest, Outcome, SourceConfig
from spark_app.sources.worker import answer_requests
from tests.emulator import Bar as MarketBar
from tests.emulator import YahooEmulator
from tests.sources.yahoo.yahoo_world import (
    FRI,
    MON,
    THU,
    TUE,
    CountingLimiter,
    Edit,
    chart,
    drop,
    holdings,
    make_market,
    make_source,
    put,
    quotes,
)

REQUESTS = {"chart": chart("XLK"), "holdings": holdings("XLK"), "quote": quotes("AAPL", "XLK")}
TOO_MANY = "Too Many Requests\r\n"
WED = dt.date(2024, 3, 13)


def error(envelope: str, code: str, words: str) -> dict[str, Any]:
    return {envelope: {"result": None, "error": {"code": code, "description": words}}}


# The fault, its outcome, and the number of data requests with one retry allowed.
FAULTS: dict[str, tuple[dict[str, Any], Outcome, int]] = {
    "empty body": ({"body": ""}, Outcome.MALFORMED, 2),
    "page": ({"body": "<!DOCTYPE html><html lang=en>busy</html>"}, Outcome.MALFORMED, 2),
    "cut JSON": ({"body": '{"chart":{"result":[{"me'}, Outcome.MALFORMED, 2),
    "other JSON": ({"body": {"unexpected": 1}}, Outcome.MALFORMED, 1),
    "list": ({"body": "[]"}, Outcome.MALFORMED, 1),
    "null": ({"body": "null"}, Outcome.MALFORMED, 1),
    "500": ({"status": 500}, Outcome.TRANSIENT, 2),
    "500 in JSON": ({"status": 500, "body": error("chart", "x", "boom")}, Outcome.TRANSIENT, 2),
    "502": ({"status": 502}, Outcome.TRANSIENT, 2),
    "503": ({"status": 503}, Outcome.TRANSIENT, 2),
    "403": ({"status": 403}, Outcome.TRANSIENT, 2),
    "404 of an edge": ({"status": 404}, Outcome.TRANSIENT, 2),
    "404 of the gateway": (
        {"status": 404, "body": error("finance", "Not Found", "HTTP 404 Not Found")},
        Outcome.TRANSIENT,
        2,
    ),
    # Each time yfinance retries once with a new crumb.
    "401": ({"status": 401}, Outcome.TRANSIENT, 4),
    "error with status 200": ({"body": error("finance", "internal-error", "Internal Error")}, Outcome.TRANSIENT, 2),
    "reset": ({"reset": True}, Outcome.TRANSIENT, 2),
    "short read": ({"cut_after_bytes": 40}, Outcome.TRANSIENT, 2),
    "too slow": ({"delay_seconds": 1.2}, Outcome.TRANSIENT, 2),
}
RATE_LIMITS: dict[str, dict[str, Any]] = {
    "429": {"status": 429},
    "429 in JSON": {"status": 429, "body": error("finance", "Too Many Requests", "slow down")},
    "999": {"status": 999},
    "text with status 200": {"status": 200, "body": TOO_MANY},
    "small letters": {"status": 200, "body": "too many requests"},
    "text with status 503": {"status": 503, "body": TOO_MANY},
    "JSON with status 200": {"status": 200, "body": error("finance", "Too Many Requests", "slow down")},
}


@pytest.fixture
def emulator() -> Iterator[YahooEmulator]:
    with YahooEmulator(make_market()) as running:
        # The process keeps its session for an address, and this port may have been the last test's.
        build._yahoo_session.cache_clear()
        yield running


def outcomes(answers: list[Answer]) -> list[tuple[str, Outcome]]:
    return [(answer.ticker, answer.outcome) for answer in answers]


def all_of(request: FetchRequest, outcome: Outcome) -> list[tuple[str, Outcome]]:
    return [(ticker, outcome) for ticker in request.tickers]


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize(("fault", "outcome", "asked"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_has_its_outcome_and_number_of_requests_and_passes(
    emulator: YahooEmulator, kind: str, fault: dict[str, Any], outcome: Outcome, asked: int
) -> None:
    request, slept, limiter = REQUESTS[kind], list[float](), CountingLimiter()
    source = make_source(emulator, limiter=limiter, max_retries=1, sleep=slept.append, timeout_seconds=1.0)
    emulator.fail(kind, **fault)
    answers = source.fetch(request)
    assert outcomes(answers) == all_of(request, outcome)
    assert all(answer.message for answer in answers)
    assert [(a.bars, a.holdings, a.quote) for a in answers] == [((), (), None)] * len(answers)
    assert len(emulator.log.of(kind)) == asked
    assert len(slept) == (0 if asked == 1 else 1)
    assert answers[0].requests == limiter.slots == len(emulator.log)
    assert limiter.reports == []

    emulator.faults.clear()
    assert outcomes(source.fetch(request)) == all_of(request, Outcome.OK)


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("where", ["data", "cookie", "crumb"])
@pytest.mark.parametrize("fault", RATE_LIMITS.values(), ids=RATE_LIMITS.keys())
def test_after_a_rate_limit_nothing_is_sent_until_the_next_task(
    emulator: YahooEmulator, kind: str, where: str, fault: dict[str, Any]
) -> None:
    request, limiter = REQUESTS[kind], CountingLimiter()
    limited = kind if where == "data" else where
    config = SourceConfig("yahoo", endpoint=emulator.url, max_retries=3)
    source = build.build_source(config, limiter)
    emulator.fail(limited, **fault)
    for _ in range(2):
        assert outcomes(source.fetch(request)) == all_of(request, Outcome.RATE_LIMITED)
    assert [r.kind for r in emulator.log] == ["cookie", "crumb", kind][: {"cookie": 1, "crumb": 2}.get(limited, 3)]
    assert len(limiter.reports) == 1

    emulator.faults.clear()
    assert outcomes(build.build_source(config, CountingLimiter()).fetch(request)) == all_of(request, Outcome.OK)


class OpenLimiter(CountingLimiter):
    """Lets everything pass, a rate limit or not."""

    def acquire(self) -> None:
        self.slots += 1


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("where", ["data", "cookie", "crumb", "consent"])
def test_a_rate_limit_ends_the_request_even_if_the_limiter_does_not(
    emulator: YahooEmulator, kind: str, where: str
) -> None:
    limited = kind if where == "data" else where
    emulator.fail(limited, status=429)
    if where == "consent":
        emulator.fail("cookie", reset=True)
    limiter = OpenLimiter()
    answers = make_source(emulator, limiter=limiter, max_retries=3).fetch(REQUESTS[kind])
    assert outcomes(answers) == all_of(REQUESTS[kind], Outcome.RATE_LIMITED)
    assert [r.kind for r in emulator.log][-1] == limited
    assert len(limiter.reports) == 1


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_crumb_refused_once_costs_one_request_more(emulator: YahooEmulator, kind: str) -> None:
    emulator.fail(kind, times=1, status=401)
    slept: list[float] = []
    answers = make_source(emulator, max_retries=3, sleep=slept.append).fetch(REQUESTS[kind])
    assert outcomes(answers) == all_of(REQUESTS[kind], Outcome.OK)
    assert (len(emulator.log.of(kind)), slept) == (2, [])


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("fault", RATE_LIMITS.values(), ids=RATE_LIMITS.keys())
def test_a_rate_limit_met_by_a_retry_ends_it(emulator: YahooEmulator, kind: str, fault: dict[str, Any]) -> None:
    emulator.fail(kind, times=1, status=503)
    emulator.fail(kind, **fault)
    slept: list[float] = []
    answers = make_source(emulator, max_retries=3, sleep=slept.append).fetch(REQUESTS[kind])
    assert outcomes(answers) == all_of(REQUESTS[kind], Outcome.RATE_LIMITED)
    assert (len(emulator.log.of(kind)), len(slept)) == (2, 1)


@pytest.mark.parametrize("kind", REQUESTS)
def test_every_retry_takes_a_slot_and_waits_longer_at_random(emulator: YahooEmulator, kind: str) -> None:
    emulator.fail(kind, status=500)
    slept, limiter = list[float](), CountingLimiter()
    source = make_source(emulator, limiter=limiter, max_retries=8, sleep=slept.append)
    assert source.fetch(REQUESTS[kind])[0].outcome is Outcome.TRANSIENT
    assert (len(emulator.log.of(kind)), limiter.slots) == (9, 11)
    assert all(0 <= seconds <= min(2**retry, 60) for retry, seconds in enumerate(slept))
    assert len(set(slept)) == 8
    assert max(slept) > 2


@pytest.mark.parametrize("where", ["cookie", "crumb"])
@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 403}, {"reset": True}, {"body": "<html>", "status": 403}]
)
def test_charts_without_cookie_or_crumb_cost_one_request_each(
    emulator: YahooEmulator, where: str, fault: dict[str, Any]
) -> None:
    emulator.fail(where, **fault)
    source = make_source(emulator)
    source.fetch(chart("XLK"))
    emulator.log.clear()
    assert [source.fetch(chart(ticker))[0].outcome for ticker in ("XLV", "AAPL")] == [Outcome.OK, Outcome.OK]
    assert emulator.log.counts() == {"chart": 2}

    emulator.faults.clear()
    assert outcomes(source.fetch(quotes("AAPL"))) == [("AAPL", Outcome.OK)]


def test_a_chart_refused_for_its_crumb_gets_a_new_one(emulator: YahooEmulator) -> None:
    source = make_source(emulator)
    source.fetch(chart("XLK"))
    emulator.crumbs.expire()
    emulator.fail("chart", times=1, status=401)
    assert source.fetch(chart("XLV"))[0].outcome is Outcome.OK
    old, refused, new = (request.crumb for request in emulator.log.of("chart"))
    assert old == refused != new
    assert new is not None


def test_a_rate_limit_of_one_ticker_loses_no_other(emulator: YahooEmulator) -> None:
    tickers = ("XLK", "XLV", "AAPL")
    config = SourceConfig("yahoo", endpoint=emulator.url)

    def run() -> dict[str, str]:
        rows = [("chart", [ticker], THU, TUE) for ticker in tickers]
        batch = pd.DataFrame(rows, columns=["kind", "tickers", "window_start", "window_end"])
        frames = answer_requests(iter([batch]), config=config, make_limiter=CountingLimiter, run_id="run-1")
        landed = pd.concat(list(frames))
        return dict(zip(landed["ticker"], landed["outcome"], strict=True))

    emulator.fail("chart", ticker="XLV", times=1, status=429)
    assert run() == {"XLK": "ok", "XLV": "rate_limited", "AAPL": "rate_limited"}
    assert emulator.log.tickers("chart") == {"XLK": 1, "XLV": 1}
    assert run() == dict.fromkeys(tickers, "ok")


def test_a_failure_in_one_task_leaves_the_session_to_the_next(emulator: YahooEmulator) -> None:
    config = SourceConfig("yahoo", endpoint=emulator.url)
    emulator.fail("crumb", times=1, body=TOO_MANY)
    answers = [build.build_source(config, CountingLimiter()).fetch(holdings("XLK"))[0].outcome for _ in range(2)]
    assert answers == [Outcome.RATE_LIMITED, Outcome.OK]
    # The cookie of the first task is still valid; the text of the rate limit was not taken for a crumb.
    assert emulator.log.counts() == {"cookie": 1, "crumb": 2, "holdings": 1}


CHART, QUOTE_ARRAYS = ("chart", "result", 0), ("chart", "result", 0, "indicators", "quote", 0)
FUND, TOP = ("quoteSummary", "result", 0), ("quoteSummary", "result", 0, "topHoldings")
EDITS: dict[str, tuple[str, Edit, Outcome]] = {
    "chart null": ("chart", put(None, "chart"), Outcome.MALFORMED),
    "chart result null": ("chart", put(None, "chart", "result"), Outcome.NO_DATA),
    "chart result missing": ("chart", drop("chart", "result"), Outcome.MALFORMED),
    "chart meta null": ("chart", put(None, *CHART, "meta"), Outcome.MALFORMED),
    "chart zone missing": ("chart", drop(*CHART, "meta", "exchangeTimezoneName"), Outcome.MALFORMED),
    "chart stamps null": ("chart", put(None, *CHART, "timestamp"), Outcome.MALFORMED),
    "chart stamps missing": ("chart", drop(*CHART, "timestamp"), Outcome.MALFORMED),
    "chart one stamp too few": ("chart", drop(*CHART, "timestamp", -1), Outcome.MALFORMED),
    "chart one stamp null": ("chart", put(None, *CHART, "timestamp", 1), Outcome.MALFORMED),
    "chart indicators null": ("chart", put(None, *CHART, "indicators"), Outcome.MALFORMED),
    "chart shell": ("chart", put({}, *QUOTE_ARRAYS), Outcome.NO_DATA),
    "chart open null": ("chart", put(None, *QUOTE_ARRAYS, "open"), Outcome.MALFORMED),
    "chart close missing": ("chart", drop(*QUOTE_ARRAYS, "close"), Outcome.MALFORMED),
    "chart volume null": ("chart", put(None, *QUOTE_ARRAYS, "volume"), Outcome.MALFORMED),
    "chart volume missing": ("chart", drop(*QUOTE_ARRAYS, "volume"), Outcome.MALFORMED),
    "chart of another": ("chart", put("XLV", *CHART, "meta", "symbol"), Outcome.MALFORMED),
    "chart of another currency": ("chart", put("GBp", *CHART, "meta", "currency"), Outcome.MALFORMED),
    "chart of weeks": ("chart", put("1wk", *CHART, "meta", "dataGranularity"), Outcome.MALFORMED),
    "chart result no list": ("chart", put({}, "chart", "result"), Outcome.MALFORMED),
    "chart one stamp true": ("chart", put(True, *CHART, "timestamp", 1), Outcome.MALFORMED),
    "chart closes in text": ("chart", put(["1", "2", "3", "4"], *QUOTE_ARRAYS, "close"), Outcome.MALFORMED),
    "holdings of another": ("holdings", put("XLV", *FUND, "quoteType", "symbol"), Outcome.MALFORMED),
    "holdings null": ("holdings", put(None, "quoteSummary"), Outcome.MALFORMED),
    "holdings result null": ("holdings", put(None, "quoteSummary", "result"), Outcome.NO_DATA),
    "holdings result empty": ("holdings", put([], "quoteSummary", "result"), Outcome.NO_DATA),
    "holdings module null": ("holdings", put(None, *TOP), Outcome.MALFORMED),
    "holdings module missing": ("holdings", drop(*TOP), Outcome.MALFORMED),
    "holdings list null": ("holdings", put(None, *TOP, "holdings"), Outcome.NO_DATA),
    "holdings list missing": ("holdings", drop(*TOP, "holdings"), Outcome.MALFORMED),
    "holdings row null": ("holdings", put(None, *TOP, "holdings", 0), Outcome.MALFORMED),
    "quotes null": ("quote", put(None, "quoteResponse"), Outcome.MALFORMED),
    "quotes result null": ("quote", put(None, "quoteResponse", "result"), Outcome.NO_DATA),
    "quotes result missing": ("quote", drop("quoteResponse", "result"), Outcome.MALFORMED),
    "quotes result empty": ("quote", put([], "quoteResponse", "result"), Outcome.NOT_FOUND),
    "quotes error": ("quote", lambda _: error("quoteResponse", "Bad Request", "symbols?"), Outcome.MALFORMED),
}


@pytest.mark.parametrize(("kind", "edit", "outcome"), EDITS.values(), ids=EDITS.keys())
def test_an_answer_of_another_shape_is_named_and_not_guessed(
    emulator: YahooEmulator, kind: str, edit: Edit, outcome: Outcome
) -> None:
    request, slept = REQUESTS[kind], list[float]()
    emulator.fail(kind, edit=edit)
    answers = make_source(emulator, max_retries=3, sleep=slept.append).fetch(request)
    assert outcomes(answers) == all_of(request, outcome)
    assert [(a.bars, a.holdings, a.quote) for a in answers] == [((), (), None)] * len(answers)
    assert (len(emulator.log.of(kind)), slept) == (1, [])


@pytest.mark.parametrize(
    "edit",
    [
        put(None, "quoteResponse", "result", 0),
        drop("quoteResponse", "result", 0, "symbol"),
        drop("quoteResponse", "result", 0, "regularMarketTime"),
        put(None, "quoteResponse", "result", 0, "regularMarketTime"),
        put("much", "quoteResponse", "result", 0, "marketCap"),
        put(True, "quoteResponse", "result", 0, "marketCap"),
        put("1_0", "quoteResponse", "result", 0, "regularMarketPrice"),
        put(0, "quoteResponse", "result", 0, "regularMarketTime"),
        put(-62_000_000_000, "quoteResponse", "result", 0, "regularMarketTime"),
        put("EUR", "quoteResponse", "result", 0, "currency"),
        put(["AAPL"], "quoteResponse", "result", 0, "symbol"),
    ],
    ids=[
        "null",
        "no symbol",
        "no time",
        "null time",
        "text for a number",
        "true for a number",
        "text for a price",
        "1970",
        "year 5",
        "euros",
        "symbol in a list",
    ],
)
def test_one_quote_that_cannot_be_read_costs_no_other(emulator: YahooEmulator, edit: Edit) -> None:
    emulator.fail("quote", edit=edit)
    answers = make_source(emulator).fetch(quotes("AAPL", "XLK"))
    assert outcomes(answers) == [("AAPL", Outcome.MALFORMED), ("XLK", Outcome.OK)]


THURSDAY_OPEN = 1709821800  # 2024-03-07 09:30 in New York
# The edit of a chart of four bars, the message, and the closes that are left of 10, 11, 12 and 13.
PARTLY: dict[str, tuple[Edit, str, list[float]]] = {
    "true for a close": (
        put(True, *QUOTE_ARRAYS, "close", 1),
        f"rows skipped, a value cannot be read: {FRI}",
        [10, 12, 13],
    ),
    "true for a volume": (
        put(True, *QUOTE_ARRAYS, "volume", 1),
        f"rows skipped, a value cannot be read: {FRI}",
        [10, 12, 13],
    ),
    "text for an open": (
        put("1_0", *QUOTE_ARRAYS, "open", 0),
        f"rows skipped, a value cannot be read: {THU}",
        [11, 12, 13],
    ),
    "split 1:0": (
        put(
            {"1": {"date": THURSDAY_OPEN, "numerator": 1.0, "denominator": 0.0, "splitRatio": "1:0"}},
            *CHART,
            "events",
            "splits",
        ),
        f"events skipped, no plausible amount or ratio: {THU}",
        [10, 11, 12, 13],
    ),
    "dividend without an amount": (
        put({"1": {"date": THURSDAY_OPEN}}, *CHART, "events", "dividends"),
        f"events skipped, no plausible amount or ratio: {THU}",
        [10, 11, 12, 13],
    ),
    "dividend without a date": (
        put({"1": {"amount": 0.5}}, *CHART, "events", "dividends"),
        "events skipped, no date",
        [10, 11, 12, 13],
    ),
    "all of it": (
        lambda payload: put("x", *QUOTE_ARRAYS, "low", 3)(put([5], *CHART, "events")(payload)),
        f"rows skipped, a value cannot be read: {TUE}; events skipped, no date",
        [10, 11, 12],
    ),
}


@pytest.mark.parametrize(("edit", "message", "closes"), PARTLY.values(), ids=PARTLY.keys())
def test_what_cannot_be_read_of_a_chart_is_named_and_the_rest_is_used(
    emulator: YahooEmulator, edit: Edit, message: str, closes: list[float]
) -> None:
    def edit_with_events(payload: Any) -> Any:
        payload["chart"]["result"][0].setdefault("events", {})
        return edit(payload)

    emulator.fail("chart", edit=edit_with_events)
    (answer,) = make_source(emulator).fetch(chart("XLK"))
    assert (answer.outcome, answer.message) == (Outcome.OK, message)
    assert [bar.close_price for bar in answer.bars] == closes
    assert [(bar.dividend, bar.split_ratio) for bar in answer.bars] == [(0.0, 1.0)] * len(closes)
    assert answer.raw_text


def test_a_weight_that_is_no_number_is_named(emulator: YahooEmulator) -> None:
    emulator.fail("holdings", edit=put(True, *TOP, "holdings", 0, "holdingPercent"))
    (answer,) = make_source(emulator).fetch(holdings("XLK"))
    assert (answer.outcome, answer.message) == (Outcome.OK, "rows skipped, its weight is not a number: AAPL")
    assert [h.holding_ticker for h in answer.holdings] == ["BRK-B"]
    assert answer.raw_text == "AAPL APPLE INC (no weight)"


def without_symbol(weight: float) -> Edit:
    """An edit of XLK's holdings: Apple has no symbol, and this weight (a fraction)."""

    def edit(payload: Any) -> Any:
        row = payload["quoteSummary"]["result"][0]["topHoldings"]["holdings"][0]
        del row["symbol"]
        row["holdingPercent"] = weight
        return payload

    return edit


def test_a_small_holding_without_a_symbol_costs_no_other_and_is_told(emulator: YahooEmulator) -> None:
    emulator.fail("holdings", edit=without_symbol(0.04))
    (answer,) = make_source(emulator).fetch(holdings("XLK"))
    assert [h.holding_ticker for h in answer.holdings] == ["BRK-B"]
    assert [row.holding_name for row in answer.skipped] == ["APPLE INC"]
    assert answer.message == "rows skipped, it has no ticker: APPLE INC"


def test_a_large_holding_without_a_symbol_refuses_the_snapshot(emulator: YahooEmulator) -> None:
    emulator.fail("holdings", edit=without_symbol(0.6))
    (answer,) = make_source(emulator).fetch(holdings("XLK"))
    assert (answer.outcome, answer.holdings) == (Outcome.MALFORMED, ())
    assert answer.message is not None
    assert "skipped rows carry 60.00 % of the fund" in answer.message


def test_the_setting_allows_more_skipped_weight(emulator: YahooEmulator) -> None:
    emulator.fail("holdings", edit=without_symbol(0.6))
    (answer,) = make_source(emulator, skipped_holdings_percent=60.0).fetch(holdings("XLK"))
    assert [h.holding_ticker for h in answer.holdings] == ["BRK-B"]


def with_row(day: dt.date, hour: int, values: dict[str, Any]) -> Edit:
    """An edit of a chart: one more row at the end, stamped in UTC, `values` over a price of 99 and 5 shares."""

    def edit(payload: Any) -> Any:
        result = payload["chart"]["result"][0]
        result["timestamp"].append(int(dt.datetime.combine(day, dt.time(hour), dt.UTC).timestamp()))
        row = {"open": 99.0, "high": 99.0, "low": 99.0, "close": 99.0, "volume": 5, "adjclose": 99.0} | values
        for name, column in result["indicators"]["quote"][0].items():
            column.append(row[name])
        result["indicators"]["adjclose"][0]["adjclose"].append(row["adjclose"])
        return payload

    return edit


NO_PRICES = dict.fromkeys(("open", "high", "low", "close", "adjclose"), float("nan"))
CLOSES = [(THU, 10.0), (FRI, 11.0), (MON, 12.0), (TUE, 13.0)]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (with_row(TUE, 19, {}), [*CLOSES[:3], (TUE, 99.0)]),
        (with_row(TUE, 19, NO_PRICES), CLOSES),
        (with_row(TUE, 19, {"volume": None}), CLOSES),
        (with_row(TUE, 19, NO_PRICES | {"volume": None}), CLOSES),
        (with_row(WED, 15, {}), CLOSES),
        (with_row(WED, 15, NO_PRICES), CLOSES),
    ],
    ids=["twice", "twice, NaN with volume", "twice, no volume", "twice, empty", "unfinished", "unfinished, NaN"],
)
def test_an_extra_row_adds_no_bar(emulator: YahooEmulator, edit: Edit, expected: list[tuple[dt.date, float]]) -> None:
    emulator.fail("chart", edit=edit)
    (answer,) = make_source(emulator).fetch(chart("XLK"))
    assert [(b.trade_date, b.close_price) for b in answer.bars] == expected


def test_a_session_in_progress_is_not_requested(emulator: YahooEmulator) -> None:
    so_far = dt.datetime(2024, 3, 13, 15, tzinfo=dt.UTC)
    emulator.market.bars["XLK"] += (MarketBar(WED, 99.0, 99.0, 99.0, 99.0, 99.0, 5, traded_at=so_far),)
    (answer,) = make_source(emulator).fetch(chart("XLK"))
    assert [b.trade_date for b in answer.bars] == [THU, FRI, MON, TUE]
    assert emulator.log.of("chart")[0].query["period2"] == "1710302400"  # 2024-03-13 00:00 in New York


def test_a_last_bar_of_nan_with_volume_stays_for_the_quarantine_to_see(emulator: YahooEmulator) -> None:
    emulator.market.drop_bars("XLK", TUE)
    emulator.fail("chart", edit=with_row(TUE, 14, NO_PRICES))
    (answer,) = make_source(emulator).fetch(chart("XLK"))
    last = answer.bars[-1]
    assert (answer.outcome, last.trade_date, last.close_price, last.volume) == (Outcome.OK, TUE, None, 5)
