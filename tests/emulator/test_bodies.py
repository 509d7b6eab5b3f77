import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.emulator import CASH_ROWS, Holding, Market, Quote, Snapshot
from tests.emulator.bodies import quotes_answer, summary_answer

NOON = dt.datetime(2026, 2, 9, 17, 0, tzinfo=dt.UTC)
MODULES = ("quoteType", "summaryProfile", "topHoldings", "fundProfile")
BERKSHIRE = Holding("BRK.B", "BERKSHIRE HATHAWAY INC CL B", 11.819521, 13059774)
XLF = Snapshot(dt.date(2026, 2, 9), (*CASH_ROWS, BERKSHIRE))


def _json(answer: Any) -> Any:
    return json.loads(answer.body)


def _paths(value: Any, path: str = "") -> dict[str, str]:
    """List the leaves of JSON by path, with their types; all items of a list count as one."""
    if isinstance(value, dict) and value:
        return {p: t for key, inner in value.items() for p, t in _paths(inner, f"{path}.{key}").items()}
    if isinstance(value, list) and value:
        return {p: t for inner in value for p, t in _paths(inner, f"{path}[]").items()}
    return {path: "number" if type(value) in (int, float) else type(value).__name__}


def _summary(market: Market, ticker: str, *modules: str) -> Any:
    return _json(summary_answer(market, ticker, modules or MODULES))


def test_top_holdings_are_shares_in_yahoos_spelling_as_fractions() -> None:
    (result,) = _summary(Market(holdings={"XLF": XLF}), "XLF")["quoteSummary"]["result"]

    assert result["topHoldings"]["holdings"] == [
        {"symbol": "BRK-B", "holdingName": "BERKSHIRE HATHAWAY INC CL B", "holdingPercent": 0.11819521}
    ]
    assert result["quoteType"]["quoteType"] == "ETF"


def test_top_holdings_are_the_ten_largest() -> None:
    holdings = tuple(Holding(f"T{i:02}", f"NAME {i}", float(i)) for i in range(1, 13))
    market = Market(holdings={"XLK": Snapshot(dt.date(2026, 2, 9), holdings)})

    top = _summary(market, "XLK")["quoteSummary"]["result"][0]["topHoldings"]["holdings"]

    assert [row["symbol"] for row in top] == ["T12", "T11", "T10", "T09", "T08", "T07", "T06", "T05", "T04", "T03"]
    assert top[0]["holdingPercent"] == 0.12


def test_only_the_modules_asked_for_come() -> None:
    (result,) = _summary(Market(holdings={"XLF": XLF}), "XLF", "fundProfile", "assetProfile")["quoteSummary"]["result"]

    assert list(result) == ["fundProfile"]


def test_stock_has_no_fund_modules() -> None:
    market = Market(quotes={"AAPL": Quote(4_869_931_925_504, 331.0, NOON)})

    (result,) = _summary(market, "AAPL")["quoteSummary"]["result"]

    assert list(result) == ["quoteType", "summaryProfile"]
    assert result["quoteType"]["quoteType"] == "EQUITY"


def test_unknown_symbol_and_missing_modules_are_not_found(recorded: Callable[[str], Any]) -> None:
    unknown = summary_answer(Market(), "GONE", MODULES)
    no_modules = summary_answer(Market(holdings={"XLF": XLF}), "XLF", ["assetProfile"])

    assert (unknown.status, no_modules.status) == (404, 404)
    assert _json(unknown)["quoteSummary"]["error"]["description"] == "Quote not found for symbol: GONE"
    assert _json(no_modules) == recorded("error_404_quoteSummary_no_fundamentals.json")


def test_fund_summary_has_recorded_keys_and_types(recorded: Callable[[str], Any]) -> None:
    (expected,) = recorded("quoteSummary_all_QQQ_topHoldings.json")["quoteSummary"]["result"]
    (actual,) = _summary(Market(holdings={"XLF": XLF}), "XLF")["quoteSummary"]["result"]
    expected["fundProfile"]["categoryName"] = None  # null for other funds, see HISU-U.TO
    expected["topHoldings"]["sectorWeightings"] = []  # the same

    assert _paths(actual).items() <= _paths({module: expected[module] for module in MODULES}).items()
    assert actual["topHoldings"].keys() == expected["topHoldings"].keys()


def test_quotes_leave_unknown_symbols_out(recorded: Callable[[str], Any]) -> None:
    market = Market(quotes={"AAPL": Quote(4_869_931_925_504, 331.0, NOON, "Apple Inc.", "Apple")})

    (quote,) = _json(quotes_answer(market, ("AAPL", "GONE")))["quoteResponse"]["result"]

    assert quote["symbol"] == "AAPL"
    assert quote["marketCap"] == 4_869_931_925_504
    assert quote["regularMarketPrice"] == 331.0
    assert quote["regularMarketTime"] == 1770656400  # 2026-02-09 17:00 UTC
    assert _json(quotes_answer(market, ("GONE",))) == recorded("quote_v7_unknown_empty.json")


def test_quote_has_recorded_keys_and_types(recorded: Callable[[str], Any]) -> None:
    market = Market(quotes={"AAPL": Quote(4_869_931_925_504, 331.0, NOON, "Apple Inc.", "Apple")})

    actual = _json(quotes_answer(market, ("AAPL",)))

    assert _paths(actual).items() <= _paths(recorded("quote_v7_AAPL.json")).items()


def test_quote_leaves_out_what_yahoo_does_not_know() -> None:
    market = Market(quotes={"XLK": Quote(None, 150.0, NOON, quote_type="ETF")})

    (quote,) = _json(quotes_answer(market, ("XLK",)))["quoteResponse"]["result"]

    assert {"marketCap", "longName", "shortName"}.isdisjoint(quote)


@pytest.mark.parametrize(("count", "status"), [(50, 200), (99, 200), (100, 429)])
def test_quotes_of_more_than_99_symbols_are_refused(count: int, status: int) -> None:
    assert quotes_answer(Market(), tuple(f"T{i}" for i in range(count))).status == status
