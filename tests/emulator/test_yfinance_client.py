"""The real yfinance client against the emulator: same frames, same request counts, same errors as against Yahoo."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from yfinance.exceptions import YFPricesMissingError, YFRateLimitError

from tests.emulator import CASH_ROWS, Bar, Event, Holding, Quote, Snapshot, YahooEmulator
from tests.emulator.clients import YahooClient
from tests.emulator.frames import bars_by_ticker
from tests.emulator.market import Market

JANUARY = ("2025-01-01", "2025-01-05")
PRICES = ["Open", "High", "Low", "Close", "Adj Close"]


def test_recorded_chart_is_read_back_as_it_was_recorded(
    emulator: YahooEmulator, yahoo: YahooClient, recorded: Callable[[str], Any]
) -> None:
    (chart,) = recorded("chart_AAPL_split_and_dividend.json")["chart"]["result"]
    quote, adjclose = chart["indicators"]["quote"][0], chart["indicators"]["adjclose"][0]["adjclose"]
    days = [dt.datetime.fromtimestamp(stamp, dt.UTC).date() for stamp in chart["timestamp"]]
    columns = [quote["open"], quote["high"], quote["low"], quote["close"], adjclose, quote["volume"]]
    emulator.market.add_bars("AAPL", *map(Bar, days, *columns))
    emulator.market.events["AAPL"] = (Event(days[0], split_ratio=4.0), Event(days[-1], dividend=0.205))

    actual = yahoo.history("AAPL", "2020-08-31", "2020-11-07")

    assert actual.index.date.tolist() == days
    assert str(actual.index.tz) == "America/New_York"
    for name, values in zip([*PRICES, "Volume"], columns, strict=True):
        assert actual[name].tolist() == values
    assert actual["Stock Splits"].tolist() == [4.0] + [0.0] * 48
    assert actual["Dividends"].tolist() == [0.0] * 48 + [0.205]


def test_real_prices_are_read_back_to_the_last_bit(
    shared_data: Path, emulator: YahooEmulator, yahoo: YahooClient
) -> None:
    everything = pd.read_parquet(shared_data / "market_data" / "etf_daily.parquet")
    spy = everything[(everything["ticker"] == "SPY") & (everything["trade_date"] < dt.date(2016, 1, 1))]
    emulator.market.bars["SPY"] = tuple(bars_by_ticker(spy)["SPY"])

    actual = yahoo.history("SPY", "2015-01-01", "2016-01-01")

    assert actual.index.date.tolist() == spy["trade_date"].tolist()
    assert actual[PRICES].to_numpy().tolist() == spy[["open", "high", "low", "close", "adj_close"]].to_numpy().tolist()
    assert actual["Volume"].tolist() == spy["volume"].tolist()


def test_a_process_asks_for_one_cookie_one_crumb_and_each_chart_once(
    emulator: YahooEmulator, yahoo: YahooClient
) -> None:
    for ticker in ("XLK", "XLV", "XLF"):
        emulator.market.add_bars(ticker, *emulator.market.bars["SPY"])
        yahoo.history(ticker, *JANUARY)

    assert emulator.log.counts() == {"cookie": 1, "crumb": 1, "chart": 3}
    assert {request.status for request in emulator.log.of("chart")} == {200}
    cookies = {request.cookie for request in emulator.log.of("chart")}
    crumbs = {request.crumb for request in emulator.log.of("chart")}
    assert (len(cookies), len(crumbs), None in cookies) == (1, 1, False)


def test_top_holdings_are_read(emulator: YahooEmulator, yahoo: YahooClient) -> None:
    shares = (Holding("BRK.B", "BERKSHIRE HATHAWAY INC CL B", 11.819521), Holding("JPM", "JPMORGAN CHASE + CO", 11.2))
    emulator.market.holdings["XLF"] = Snapshot(dt.date(2026, 2, 9), (*CASH_ROWS, *shares))

    actual = yahoo.ticker("XLF").funds_data.top_holdings

    assert actual["Holding Percent"].to_dict() == {"BRK-B": 0.11819521, "JPM": 0.112}
    assert actual["Name"].tolist() == ["BERKSHIRE HATHAWAY INC CL B", "JPMORGAN CHASE + CO"]


def test_quotes_come_in_one_request(emulator: YahooEmulator, yahoo: YahooClient) -> None:
    noon = dt.datetime(2025, 1, 3, 17, tzinfo=dt.UTC)
    emulator.market.quotes.update({"AAPL": Quote(3, 1.0, noon), "MSFT": Quote(2, 1.0, noon)})

    actual = yahoo.quotes("AAPL", "GONE", "MSFT")

    assert {symbol: row["marketCap"] for symbol, row in actual.items()} == {"AAPL": 3, "MSFT": 2}
    assert emulator.log.counts() == {"cookie": 1, "crumb": 1, "quote": 1}


def test_expired_crumb_is_renewed_by_the_client(emulator: YahooEmulator, yahoo: YahooClient) -> None:
    emulator.market.quotes["AAPL"] = Quote(3, 1.0, dt.datetime(2025, 1, 3, 17, tzinfo=dt.UTC))
    yahoo.quotes("AAPL")

    emulator.crumbs.expire()

    assert yahoo.quotes("AAPL")["AAPL"]["marketCap"] == 3
    assert [request.status for request in emulator.log.of("quote")] == [200, 401, 200]


def test_consent_pages_give_a_cookie_where_fc_yahoo_com_does_not(emulator: YahooEmulator, yahoo: YahooClient) -> None:
    emulator.fail("cookie", reset=True)
    emulator.market.quotes["AAPL"] = Quote(3, 1.0, dt.datetime(2025, 1, 3, 17, tzinfo=dt.UTC))

    assert yahoo.quotes("AAPL")["AAPL"]["marketCap"] == 3
    assert [(r.method, r.path, r.status) for r in emulator.log.of("consent")] == [
        ("GET", "/consent", 200),
        ("POST", "/v2/collectConsent", 200),
        ("GET", "/copyConsent", 200),
    ]


def test_unknown_symbol_carries_yahoos_words(yahoo: YahooClient) -> None:
    with pytest.raises(YFPricesMissingError) as missing:
        yahoo.history("GONE", *JANUARY)

    assert missing.value.yahoo_reason == "No data found, symbol may be delisted"


def test_window_without_sessions_carries_yahoos_words(yahoo: YahooClient) -> None:
    with pytest.raises(YFPricesMissingError) as missing:
        yahoo.history("SPY", "2025-01-04", "2025-01-06")

    # midnights of New York in epoch seconds
    assert missing.value.yahoo_reason == "Data doesn't exist for startDate = 1735966800, endDate = 1736139600"


def test_rate_limit_is_seen_and_costs_the_requests_that_yfinance_makes(
    emulator: YahooEmulator, yahoo: YahooClient
) -> None:
    emulator.fail("chart", status=429)

    with pytest.raises(YFRateLimitError):
        yahoo.history("SPY", *JANUARY)

    assert [request.status for request in emulator.log.of("chart")] == [429, 429]


@pytest.mark.parametrize(
    "fault",
    [
        {"reset": True},
        {"cut_after_bytes": 50},
        {"delay_seconds": 1.5},
    ],
)
def test_broken_connections_are_transport_errors(
    emulator: YahooEmulator, yahoo: YahooClient, fault: dict[str, Any]
) -> None:
    emulator.fail("chart", **fault)

    with pytest.raises(OSError, match="curl"):
        yahoo.ticker("SPY").history(start=JANUARY[0], end=JANUARY[1], timeout=1)


def test_split_that_appears_restates_the_next_answer(emulator: YahooEmulator, yahoo: YahooClient) -> None:
    assert yahoo.history("SPY", *JANUARY)["Close"].tolist() == [11.0, 10.5]

    emulator.market.add_split("SPY", dt.date(2025, 1, 3), 4)

    after = yahoo.history("SPY", *JANUARY)
    assert after["Close"].tolist() == [2.75, 10.5]
    assert after["Stock Splits"].tolist() == [0.0, 4.0]


def test_market_from_frames_is_served(yahoo: YahooClient, emulator: YahooEmulator) -> None:
    row = {"ticker": "NA", "trade_date": "2025-01-03", "open": 1.5, "high": 2.5, "low": 0.5, "close": 1.25}
    emulator.market = Market.from_frames(pd.DataFrame([row | {"adj_close": 1.0, "volume": 7}]))

    assert yahoo.history("NA", *JANUARY)[[*PRICES, "Volume"]].to_numpy().tolist() == [[1.5, 2.5, 0.5, 1.25, 1.0, 7.0]]
