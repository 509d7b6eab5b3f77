import http.client
import json
from typing import Any

import pytest

from tests.emulator import YahooEmulator
from tests.emulator.clients import Get
from tests.emulator.sample import JANUARY_3, SPY_BARS, SPY_CHART

XLK_CHART = SPY_CHART.replace("SPY", "XLK")
COOKIE = "http://fc.yahoo.com/"


@pytest.fixture(autouse=True)
def xlk_too(emulator: YahooEmulator) -> None:
    emulator.market.add_bars("XLK", *SPY_BARS)


def test_fault_hits_its_ticker_only(emulator: YahooEmulator, get: Get) -> None:
    fault = emulator.fail("chart", ticker="XLK", status=503)

    assert [get(url).status for url in (SPY_CHART, XLK_CHART, XLK_CHART)] == [200, 503, 503]
    assert fault.hits == 2
    assert [request.fault for request in emulator.log] == [None, fault, fault]


def test_pattern_sees_host_path_and_query(emulator: YahooEmulator, get: Get) -> None:
    emulator.fail(r"query2\..*/XLK\?period1=\d+", status=500)

    assert get(XLK_CHART).status == 500
    assert get(XLK_CHART.replace("query2", "query1")).status == 200


def test_fault_starts_late_and_ends(emulator: YahooEmulator, get: Get) -> None:
    emulator.fail("chart", after=1, times=2, status=502)

    assert [get(SPY_CHART).status for _ in range(4)] == [200, 502, 502, 200]


def test_faults_strike_in_their_order(emulator: YahooEmulator, get: Get) -> None:
    emulator.fail("chart", times=1, status=500)
    emulator.fail("chart", times=1, status=429)

    assert [get(SPY_CHART).status for _ in range(3)] == [500, 429, 200]


def test_cleared_faults_are_gone(emulator: YahooEmulator, get: Get) -> None:
    emulator.fail(status=500)
    assert get(COOKIE).status == 500

    emulator.faults.clear()

    assert get(SPY_CHART).status == 200


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, b"Edge: Too Many Requests"),
        (401, b'{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}'),
        (502, b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"),
        (999, b"<!DOCTYPE html><html><body>999</body></html>"),
    ],
)
def test_status_brings_the_body_that_yahoo_sends_with_it(
    emulator: YahooEmulator, get: Get, status: int, body: bytes
) -> None:
    emulator.fail("chart", status=status)

    reply = get(SPY_CHART)

    assert (reply.status, reply.body) == (status, body)


def test_body_and_headers_replace_those_of_the_answer(emulator: YahooEmulator, get: Get) -> None:
    emulator.fail("chart", ticker="SPY", body="<html>Will be right back</html>")
    emulator.fail("chart", ticker="XLK", status=429, body={"finance": None}, headers={"Retry-After": "60"})

    page, refusal = get(SPY_CHART), get(XLK_CHART)

    assert (page.status, page.body) == (200, b"<html>Will be right back</html>")
    assert (refusal.status, refusal.json, refusal.headers["Retry-After"]) == (429, {"finance": None}, "60")


def test_edit_changes_the_genuine_answer(emulator: YahooEmulator, get: Get) -> None:
    genuine = get(SPY_CHART).json

    def without_currency(chart: dict[str, Any]) -> dict[str, Any]:
        chart["chart"]["result"][0]["meta"].pop("currency")
        return chart

    emulator.fail("chart", edit=without_currency)

    assert get(SPY_CHART).json == without_currency(genuine)


def test_delay_holds_the_answer_back(emulator: YahooEmulator, get: Get) -> None:
    emulator.fail("chart", delay_seconds=0.1)

    assert get(SPY_CHART).status == 200
    (request,) = emulator.log
    assert request.answered is not None
    assert request.answered - request.arrived >= 0.1


def test_cut_answer_announces_more_than_comes(emulator: YahooEmulator, get: Get) -> None:
    emulator.fail("chart", times=1, cut_after_bytes=20)

    with pytest.raises(http.client.IncompleteRead) as short:
        get(SPY_CHART)

    assert short.value.partial == b'{"chart":{"result":['
    assert get(SPY_CHART).json["chart"]["error"] is None


def test_truncated_json_with_a_correct_length_is_a_body(emulator: YahooEmulator, get: Get) -> None:
    emulator.fail("chart", body=get(SPY_CHART).body[:100])

    with pytest.raises(json.JSONDecodeError):
        _ = get(SPY_CHART).json


def test_reset_ends_the_connection_without_an_answer(emulator: YahooEmulator, get: Get) -> None:
    emulator.fail("chart", times=1, reset=True)

    with pytest.raises(ConnectionResetError) as reset:
        get(SPY_CHART)

    assert type(reset.value) is ConnectionResetError  # not http.client's RemoteDisconnected, an orderly end
    (request,) = emulator.log
    assert request.status is None
    emulator.market.drop_bars("SPY", JANUARY_3)
    assert len(get(SPY_CHART).json["chart"]["result"][0]["timestamp"]) == 1
