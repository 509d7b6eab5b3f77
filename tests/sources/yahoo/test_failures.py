from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest
import yfinance as yf

from spark_app.sources.contract import FetchRequest, Outcome
from tests.emulator import YahooEmulator
from tests.sources.yahoo.yahoo_world import (
    CountingLimiter,
    Edit,
    chart,
    drop,
    holdings,
    make_source,
    quotes,
)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"status": 404}, Outcome.NOT_FOUND),
        ({"status": 503}, Outcome.TRANSIENT),
        ({"reset": True}, Outcome.TRANSIENT),
        ({"cut_after_bytes": 100}, Outcome.TRANSIENT),
        ({"body": "<html>Access denied</html>"}, Outcome.MALFORMED),
        ({"status": 429}, Outcome.RATE_LIMITED),
    ],
)
def test_what_goes_wrong_with_a_workbook(emulator: YahooEmulator, fault: dict[str, Any], outcome: Outcome) -> None:
    emulator.fail("workbook", **fault)
    (answer,) = make_source(emulator, holdings_provider="issuer").fetch(holdings("XLK"))
    assert (answer.outcome, answer.provider, answer.holdings) == (outcome, "issuer", ())
    assert answer.message


def test_an_unknown_ticker_costs_one_request(emulator: YahooEmulator) -> None:
    source = make_source(emulator)
    source.fetch(chart("XLK"))
    (answer,) = source.fetch(chart("NOPE"))
    assert (answer.outcome, answer.requests) == (Outcome.NOT_FOUND, 1)
    assert answer.raw_text is not None
    assert "symbol may be delisted" in answer.raw_text


@pytest.mark.parametrize("request_", [chart("BRK/B"), holdings("../../x"), quotes("A,B", "x'); drop table t; --")])
def test_an_invalid_ticker_is_never_requested(emulator: YahooEmulator, request_: FetchRequest) -> None:
    answers = make_source(emulator).fetch(request_)
    assert [(a.ticker, a.outcome) for a in answers] == [(t, Outcome.NOT_FOUND) for t in request_.tickers]
    assert len(emulator.log) == 0


def test_a_window_before_the_listing_is_no_data(emulator: YahooEmulator) -> None:
    (answer,) = make_source(emulator).fetch(chart("XLK", dt.date(2020, 1, 2), dt.date(2020, 1, 3)))
    assert answer.outcome is Outcome.NO_DATA
    assert answer.message is not None
    assert "Data doesn't exist" in answer.message


@pytest.mark.parametrize("kind", ["cookie", "crumb", "chart", "holdings", "quote"])
@pytest.mark.parametrize("fault", [{"status": 429}, {"status": 999}, {"body": "Edge: Too Many Requests"}])
def test_a_rate_limit_stops_at_once(emulator: YahooEmulator, kind: str, fault: dict[str, Any]) -> None:
    limiter = CountingLimiter()
    emulator.fail(kind, **fault)
    source = make_source(emulator, limiter=limiter, max_retries=3)
    request = {"holdings": holdings("XLK"), "quote": quotes("AAPL", "XLK")}.get(kind, chart("XLK"))
    answers = source.fetch(request)
    assert [answer.outcome for answer in answers] == [Outcome.RATE_LIMITED] * len(request.tickers)
    assert len(emulator.log.of(kind)) == 1
    assert list(emulator.log)[-1].kind == kind
    assert len(limiter.reports) == 1

    sent = len(emulator.log)
    assert source.fetch(chart("XLV"))[0].outcome is Outcome.RATE_LIMITED
    assert len(emulator.log) == sent


def test_a_rate_limit_of_the_crumb_after_a_refused_one_stops(emulator: YahooEmulator) -> None:
    emulator.fail("holdings", times=1, status=401)
    emulator.fail("crumb", after=1, status=429)
    (answer,) = make_source(emulator).fetch(holdings("XLK"))
    assert answer.outcome is Outcome.RATE_LIMITED
    assert [request.kind for request in emulator.log][-1] == "crumb"


def test_a_rejected_crumb_is_renewed_once(emulator: YahooEmulator) -> None:
    emulator.fail("holdings", times=1, status=401)
    assert make_source(emulator).fetch(holdings("XLK"))[0].outcome is Outcome.OK
    assert len(emulator.log.of("holdings")) == 2


@pytest.mark.parametrize("request_", [chart("XLK"), holdings("XLK"), quotes("AAPL")])
def test_a_crumb_rejected_again_is_transient(emulator: YahooEmulator, request_: FetchRequest) -> None:
    emulator.fail(request_.kind.value, status=401)
    (answer,) = make_source(emulator).fetch(request_)
    assert (answer.outcome, answer.message) == (Outcome.TRANSIENT, "Yahoo answered with status 401: Invalid Crumb")


def null_prices(payload: Any) -> Any:
    quote = payload["chart"]["result"][0]["indicators"]["quote"][0]
    quote.update({name: [None] * len(values) for name, values in quote.items()})
    payload["chart"]["result"][0]["indicators"]["adjclose"][0]["adjclose"] = [None] * 4
    return payload


CHART_FAULTS = {
    "500": ({"status": 500}, Outcome.TRANSIENT),
    "503": ({"status": 503}, Outcome.TRANSIENT),
    "403": ({"status": 403}, Outcome.TRANSIENT),
    "401 of an edge": ({"status": 401, "body": "<html></html>"}, Outcome.TRANSIENT),
    "404 of an edge": ({"status": 404}, Outcome.TRANSIENT),
    "reset": ({"reset": True}, Outcome.TRANSIENT),
    "short read": ({"cut_after_bytes": 40}, Outcome.TRANSIENT),
    "timeout": ({"delay_seconds": 1.5}, Outcome.TRANSIENT),
    "html": ({"body": "<html>oath guce</html>"}, Outcome.MALFORMED),
    "empty body": ({"body": ""}, Outcome.MALFORMED),
    "truncated": ({"body": '{"chart":{"result":[{"meta":{"curr'}, Outcome.MALFORMED),
    "down": ({"body": "Will be right back"}, Outcome.MALFORMED),
    "list": ({"body": "[]"}, Outcome.MALFORMED),
    "number": ({"body": "7"}, Outcome.MALFORMED),
    "deep": ({"body": "[" * 200_000}, Outcome.MALFORMED),
    "not utf-8": ({"body": b'{"chart": "\xff\xfe"}'}, Outcome.MALFORMED),
    "no meta": ({"edit": drop("chart", "result", 0, "meta")}, Outcome.MALFORMED),
    "no timestamp": ({"edit": drop("chart", "result", 0, "timestamp")}, Outcome.MALFORMED),
    "no close": ({"edit": drop("chart", "result", 0, "indicators", "quote", 0, "close")}, Outcome.MALFORMED),
    "empty result": ({"body": {"chart": {"result": [], "error": None}}}, Outcome.NO_DATA),
    "null result": ({"body": {"chart": {"result": None, "error": None}}}, Outcome.NO_DATA),
    "null prices": ({"edit": null_prices}, Outcome.NO_DATA),
}


@pytest.mark.parametrize(
    "edit",
    [
        drop("chart", "error"),
        drop("chart", "result", 0, "meta", "currency"),
        drop("chart", "result", 0, "meta", "symbol"),
        drop("chart", "result", 0, "meta", "dataGranularity"),
    ],
    ids=["error key", "currency", "symbol", "granularity"],
)
def test_from_a_label_that_is_missing_nothing_is_concluded(emulator: YahooEmulator, edit: Edit) -> None:
    emulator.fail("chart", edit=edit)
    (answer,) = make_source(emulator).fetch(chart("XLK"))
    assert (answer.outcome, answer.message, len(answer.bars)) == (Outcome.OK, None, 4)


@pytest.mark.parametrize(("fault", "outcome"), CHART_FAULTS.values(), ids=CHART_FAULTS.keys())
def test_what_goes_wrong_with_a_chart(emulator: YahooEmulator, fault: dict[str, Any], outcome: Outcome) -> None:
    emulator.fail("chart", **fault)
    (answer,) = make_source(emulator, timeout_seconds=1.0).fetch(chart("XLK"))
    assert (answer.outcome, answer.bars, answer.provider) == (outcome, (), "yahoo")
    assert answer.message
    if isinstance(body := fault.get("body"), str) and body:
        assert answer.raw_text == body[:2000]


@pytest.mark.parametrize(
    "body",
    [
        '{"chart":{"result":null,"error":{"code":"x","description":"odd \\ud83d\\u0000 words' + "!" * 9000 + '"}}}',
        b'{"chart": "' + b"\xff" * 9000 + b'"}',
    ],
    ids=["half a surrogate pair", "not utf-8"],
)
def test_a_message_is_short_and_fit_for_a_text_column(emulator: YahooEmulator, body: str | bytes) -> None:
    emulator.fail("chart", body=body)
    (answer,) = make_source(emulator).fetch(chart("XLK"))
    assert answer.outcome is Outcome.MALFORMED
    assert answer.message is not None
    assert len(answer.message.encode()) <= 500
    assert "\x00" not in answer.message


@pytest.mark.parametrize("request_", [holdings("XLK"), quotes("AAPL", "XLK")])
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ({"status": 500}, Outcome.TRANSIENT),
        ({"reset": True}, Outcome.TRANSIENT),
        ({"body": "<html></html>"}, Outcome.MALFORMED),
        ({"body": {"unexpected": 1}}, Outcome.MALFORMED),
        ({"body": "[]"}, Outcome.MALFORMED),
    ],
)
def test_what_goes_wrong_with_holdings_and_quotes(
    emulator: YahooEmulator, request_: FetchRequest, fault: dict[str, Any], outcome: Outcome
) -> None:
    emulator.fail(request_.kind.value, **fault)
    answers = make_source(emulator).fetch(request_)
    assert [(a.ticker, a.outcome) for a in answers] == [(ticker, outcome) for ticker in request_.tickers]
    assert answers[0].requests == 3


def test_an_unknown_fund_is_not_found(emulator: YahooEmulator) -> None:
    assert make_source(emulator).fetch(holdings("NOPE"))[0].outcome is Outcome.NOT_FOUND


@pytest.mark.parametrize("fault", [{"status": 502}, {"reset": True}, {"body": "<html></html>"}])
def test_a_transient_failure_is_retried_after_a_growing_pause(emulator: YahooEmulator, fault: dict[str, Any]) -> None:
    slept: list[float] = []
    emulator.fail("chart", times=2, **fault)
    (answer,) = make_source(emulator, max_retries=2, sleep=slept.append).fetch(chart("XLK"))
    assert (answer.outcome, len(answer.bars), answer.raw_text) == (Outcome.OK, 4, None)
    assert (len(emulator.log.of("chart")), answer.requests) == (3, 5)
    assert 0 <= slept[0] <= 1
    assert 0 <= slept[1] <= 2


def test_a_failure_that_stays_is_reported_after_the_last_retry(emulator: YahooEmulator) -> None:
    emulator.fail("chart", status=500)
    (answer,) = make_source(emulator, max_retries=3).fetch(chart("XLK"))
    assert (answer.outcome, len(emulator.log.of("chart"))) == (Outcome.TRANSIENT, 4)


@pytest.mark.parametrize("fault", [{"body": {"chart": {"result": [], "error": None}}}, {"body": "[]"}])
def test_a_permanent_failure_is_not_retried(emulator: YahooEmulator, fault: dict[str, Any]) -> None:
    emulator.fail("chart", **fault)
    make_source(emulator, max_retries=3).fetch(chart("XLK"))
    assert len(emulator.log.of("chart")) == 1


@pytest.mark.parametrize("kind", ["cookie", "crumb"])
def test_a_chart_does_not_need_the_cookie(emulator: YahooEmulator, kind: str) -> None:
    emulator.fail(kind, status=500)
    assert make_source(emulator).fetch(chart("XLK"))[0].outcome is Outcome.OK


def test_a_cookie_that_never_arrives_costs_the_timeout_of_the_settings_and_not_thirty_seconds(
    emulator: YahooEmulator,
) -> None:
    emulator.fail("cookie", delay_seconds=3.0)
    started = time.monotonic()
    assert make_source(emulator, timeout_seconds=0.5).fetch(chart("XLK"))[0].outcome is Outcome.OK
    assert time.monotonic() - started < 3.0


@pytest.mark.parametrize("error", [UnboundLocalError("x"), AssertionError("y"), MemoryError("z"), Exception("w")])
@pytest.mark.parametrize(
    ("parser", "request_"), [("parse_chart", chart("XLK")), ("parse_quotes", quotes("AAPL", "XLK"))]
)
def test_whatever_a_parser_raises_is_an_outcome_of_its_tickers(
    emulator: YahooEmulator,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    parser: str,
    request_: FetchRequest,
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(f"spark_app.sources.yahoo.source.{parser}", fail)
    answers = make_source(emulator).fetch(request_)
    assert [(a.ticker, a.outcome) for a in answers] == [(t, Outcome.MALFORMED) for t in request_.tickers]
    assert answers[0].message == f"the answer has another shape: {type(error).__name__}: {error}"


@pytest.mark.parametrize("error", [UnboundLocalError("x"), OSError("y"), MemoryError("z")])
def test_a_chart_that_yfinance_fails_on_is_read_all_the_same(
    emulator: YahooEmulator, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    history = yf.Ticker.history

    def fail_after_the_answer(*args: Any, **kwargs: Any) -> None:
        history(*args, **kwargs)
        raise error

    monkeypatch.setattr(yf.Ticker, "history", fail_after_the_answer)
    assert make_source(emulator).fetch(chart("XLK"))[0].outcome is Outcome.OK
