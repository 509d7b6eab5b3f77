import datetime as dt
import http.client
import threading
import time
import urllib.request

import pytest

from tests.emulator import Bar, Holding, Market, Snapshot, YahooEmulator
from tests.emulator.clients import Get
from tests.emulator.sample import JANUARY_2, OPEN_OF_JANUARY_2, SPY_BARS, SPY_CHART


def test_proxy_requests_and_plain_requests_get_the_same_answer(get: Get) -> None:
    path = SPY_CHART.removeprefix("http://query2.finance.yahoo.com")

    assert get(path).json == get(SPY_CHART).json


def test_paths_of_yahoo_are_unknown_on_other_hosts(get: Get) -> None:
    assert get("http://example.com/v8/finance/chart/SPY").status == 404


def test_one_connection_carries_many_requests(emulator: YahooEmulator) -> None:
    connection = http.client.HTTPConnection(emulator.url.removeprefix("http://"))
    ports = set()
    for _ in range(3):
        connection.request("GET", SPY_CHART)
        ports.add(connection.sock.getsockname()[1])
        connection.getresponse().read()
    connection.close()

    assert len(ports) == 1


def test_cookie_is_one_of_all_yahoo_hosts_and_expires(get: Get) -> None:
    cookie = get("http://fc.yahoo.com/").headers["Set-Cookie"]

    assert cookie.startswith("A3=")
    assert "Domain=.yahoo.com" in cookie
    assert "Max-Age=" in cookie


@pytest.mark.parametrize("path", ["/v7/finance/quote?symbols=SPY", "/v10/finance/quoteSummary/SPY?modules=quoteType"])
def test_crumb_counts_only_with_its_cookie(get: Get, path: str) -> None:
    url = f"http://query1.finance.yahoo.com{path}"
    cookies = [get("http://fc.yahoo.com/").headers["Set-Cookie"].partition(";")[0] for _ in range(2)]
    crumb = get("http://query1.finance.yahoo.com/v1/test/getcrumb", Cookie=cookies[0]).body.decode()

    assert get(f"{url}&crumb={crumb}", Cookie=cookies[0]).status == 200
    assert get(f"{url}&crumb={crumb}", Cookie=cookies[1]).status == 401
    assert get(f"{url}&crumb={crumb}").status == 401
    assert get(f"{url}&crumb=wrong", Cookie=cookies[0]).status == 401
    assert get(url, Cookie=cookies[0]).status == 401


def test_no_crumb_without_a_cookie(get: Get) -> None:
    reply = get("http://query1.finance.yahoo.com/v1/test/getcrumb")

    assert reply.status == 401
    assert reply.json["finance"]["error"]["description"] == "Invalid Cookie"


def test_market_can_be_replaced_while_it_runs(emulator: YahooEmulator, get: Get) -> None:
    assert get(SPY_CHART).json["chart"]["result"][0]["timestamp"][0] == OPEN_OF_JANUARY_2

    emulator.market = Market()

    assert get(SPY_CHART).status == 404


def test_many_clients_at_once_are_all_answered_and_logged(emulator: YahooEmulator) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": emulator.url}))
    statuses: list[int] = []

    def ask() -> None:
        for _ in range(5):
            with opener.open(SPY_CHART, timeout=10) as answer:
                statuses.append(answer.status)

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    assert statuses == [200] * 40
    assert emulator.log.counts() == {"chart": 40}


def test_stop_leaves_no_thread_and_no_port_even_with_open_connections_and_slow_answers() -> None:
    before = set(threading.enumerate())
    emulator = YahooEmulator(Market(bars={"SPY": SPY_BARS})).start()
    address = emulator.url.removeprefix("http://")
    idle = http.client.HTTPConnection(address, timeout=5)
    idle.request("GET", SPY_CHART)
    idle.getresponse().read()
    emulator.fail("chart", delay_seconds=60)
    waiting = http.client.HTTPConnection(address, timeout=5)
    waiting.request("GET", SPY_CHART)
    assert emulator.log.wait_for("chart", 2, timeout_seconds=5)

    started = time.monotonic()
    emulator.stop()

    assert time.monotonic() - started < 5
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(address, timeout=5).connect()
    idle.close()
    waiting.close()


def test_chart_of_504_sessions_takes_milliseconds(get: Get, emulator: YahooEmulator) -> None:
    days = [dt.date(2023, 1, 2) + dt.timedelta(days=i) for i in range(504)]
    emulator.market.add_bars("XLK", *(Bar(day, 1.23, 2.34, 0.98, 1.5, 1.41, 10**7) for day in days))
    url = "http://query2.finance.yahoo.com/v8/finance/chart/XLK?range=max"

    lengths = [len(get(url).json["chart"]["result"][0]["timestamp"]) for _ in range(5)]

    assert lengths == [504] * 5
    assert min(log.answered - log.arrived for log in emulator.log if log.answered is not None) < 0.03


def test_workbook_is_served_from_any_host_and_plainly(emulator: YahooEmulator, get: Get) -> None:
    emulator.market.holdings["XLK"] = Snapshot(JANUARY_2, (Holding("AAPL", "APPLE INC", 13.4, 100),))
    path = "/library-content/products/fund-data/etfs/us/holdings-daily-us-en-xlk.xlsx"

    replies = [get(path), get(f"http://www.ssga.com{path}")]

    assert [reply.status for reply in replies] == [200, 200]
    assert replies[0].body[:2] == b"PK"
    assert get(path.replace("xlk", "xlz")).status == 404
    assert [request.tickers for request in emulator.log.of("workbook")] == [("XLK",), ("XLK",), ("XLZ",)]
