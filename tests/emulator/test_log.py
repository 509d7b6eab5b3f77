import datetime as dt
import urllib.error
import urllib.request

import pytest

from tests.emulator import Market, Request, RequestLog, YahooEmulator
from tests.emulator.clients import Get
from tests.emulator.sample import API, SPY_CHART


@pytest.mark.parametrize(
    ("url", "kind", "tickers"),
    [
        (SPY_CHART, "chart", ("SPY",)),
        (f"{API}/v8/finance/chart/%5egspc", "chart", ("^GSPC",)),
        (f"{API}/v10/finance/quoteSummary/XLK?modules=topHoldings", "holdings", ("XLK",)),
        (f"{API}/v7/finance/quote?symbols=AAPL%2CBRK-B", "quote", ("AAPL", "BRK-B")),
        ("http://fc.yahoo.com/", "cookie", ()),
        (f"{API}/v1/test/getcrumb", "crumb", ()),
        ("http://guce.yahoo.com/consent", "consent", ()),
        ("http://www.ssga.com/a/b/holdings-daily-us-en-xlre.xlsx", "workbook", ("XLRE",)),
        ("http://127.0.0.1:80/holdings-daily-us-en-spy.xlsx?x=1", "workbook", ("SPY",)),
        (f"{API}/v1/finance/search?q=AAPL", "other", ()),
        ("http://example.com/v7/finance/quote?symbols=AAPL", "other", ()),
    ],
)
def test_requests_are_told_apart(url: str, kind: str, tickers: tuple[str, ...]) -> None:
    request = Request("GET", url)

    assert (request.kind, request.tickers) == (kind, tickers)


def test_log_keeps_what_came_and_what_was_answered(emulator: YahooEmulator, get: Get) -> None:
    before = dt.datetime.now(dt.UTC)
    get(f"{API}/v7/finance/quote?symbols=SPY&crumb=abc", Cookie="B=1; A3=secret; C=2")

    (request,) = emulator.log
    assert (request.method, request.host, request.path) == ("GET", "query2.finance.yahoo.com", "/v7/finance/quote")
    assert (request.cookie, request.crumb, request.status) == ("secret", "abc", 401)
    assert request.query == {"symbols": "SPY", "crumb": "abc"}
    assert request.arrived_at is not None
    assert request.answered_at is not None
    assert request.answered is not None
    assert before <= request.arrived_at <= request.answered_at <= dt.datetime.now(dt.UTC)
    assert request.arrived <= request.answered


def test_log_counts_by_kind_and_by_ticker(emulator: YahooEmulator, get: Get) -> None:
    for url in (SPY_CHART, SPY_CHART, SPY_CHART.replace("SPY", "XLK"), "http://fc.yahoo.com/"):
        get(url)

    assert emulator.log.counts() == {"chart": 3, "cookie": 1}
    assert emulator.log.tickers("chart") == {"SPY": 2, "XLK": 1}
    assert [request.status for request in emulator.log.of("chart", "XLK")] == [404]
    with pytest.raises(ValueError, match="charts"):
        emulator.log.of("charts")


def test_smallest_gap_is_between_neighbours_in_time() -> None:
    log = RequestLog()
    for arrived, url in ((10.0, SPY_CHART), (13.0, SPY_CHART), (11.5, "http://fc.yahoo.com/"), (20.0, SPY_CHART)):
        log.add(Request("GET", url, arrived=arrived))

    assert log.smallest_gap() == 1.5
    assert log.smallest_gap("chart") == 3.0
    with pytest.raises(ValueError, match="empty"):
        log.smallest_gap("cookie")


def test_waiting_ends_when_the_requests_are_there_or_the_time_is_up(emulator: YahooEmulator, get: Get) -> None:
    get(SPY_CHART)

    assert emulator.log.wait_for("chart", 1, timeout_seconds=1)
    assert not emulator.log.wait_for("chart", 2, timeout_seconds=0.01)


def test_latency_is_added_to_every_answer() -> None:
    with YahooEmulator(Market(), latency_seconds=0.05) as emulator:
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{emulator.url}/nothing", timeout=5)
        (request,) = emulator.log
    assert request.answered is not None
    assert request.answered - request.arrived >= 0.05
