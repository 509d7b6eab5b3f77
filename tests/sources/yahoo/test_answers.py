from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import pytest

from spark_app.sources.bodies import FetchError
from spark_app.sources.contract import Answer, Holding, Outcome, SkippedHolding
from spark_app.sources.yahoo.answers import (
    parse_holdings,
    parse_quotes,
    refusal,
    require_holdings_of,
)

NOW = dt.datetime(2024, 3, 13, 2, tzinfo=dt.UTC)
TUE = 1710273600  # 2024-03-12 16:00 in New York


def make_summary(*holdings: dict[str, Any]) -> dict[str, Any]:
    return {"quoteSummary": {"result": [{"topHoldings": {"holdings": list(holdings)}}], "error": None}}


def make_quotes(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"quoteResponse": {"result": list(rows), "error": None}}


def read_quotes(payload: dict[str, Any], tickers: tuple[str, ...], now: dt.datetime = NOW) -> list[Answer]:
    return parse_quotes(payload, tickers, now)


def test_weights_become_percent_in_yahoos_order() -> None:
    payload = make_summary(
        {"symbol": "NVDA", "holdingName": "NVIDIA Corp", "holdingPercent": 0.125},
        {"symbol": "BRK-B", "holdingName": "Berkshire", "holdingPercent": {"raw": 0.25, "fmt": "25%"}},
    )
    assert parse_holdings(payload) == ((Holding("NVDA", "NVIDIA Corp", 12.5), Holding("BRK-B", "Berkshire", 25.0)), ())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"symbol": "", "holdingName": "The Medicines Co", "holdingPercent": 0.01}, "no ticker"),
        ({"holdingName": "The Medicines Co", "holdingPercent": 0.01}, "no ticker"),
        ({"symbol": "7203.T", "holdingName": "Toyota", "holdingPercent": 0.01}, "United States"),
        ({"symbol": "VOD.L", "holdingName": "Vodafone", "holdingPercent": 0.01}, "United States"),
        ({"holdingName": "US Dollar", "holdingPercent": 0.1}, "cash"),
        ({"symbol": "AAPL", "holdingName": "Apple"}, "no weight"),
        ({"symbol": "AAPL", "holdingName": "Apple", "holdingPercent": math.nan}, "no weight"),
        ({"symbol": "AAPL", "holdingName": "Apple", "holdingPercent": math.inf}, "between 0 and 100"),
        ({"symbol": "AAPL", "holdingName": "Apple", "holdingPercent": -0.01}, "between 0 and 100"),
    ],
)
def test_a_row_that_is_not_a_share_is_skipped_with_its_reason(row: dict[str, Any], reason: str) -> None:
    good = {"symbol": "MSFT", "holdingName": "Microsoft", "holdingPercent": 0.5}
    holdings, skipped = parse_holdings(make_summary(row, good))
    assert [holding.holding_ticker for holding in holdings] == ["MSFT"]
    assert [reason in entry.reason for entry in skipped] == [True]


@pytest.mark.parametrize("symbol", ["BRK.B", "BRK/B", "BRK B", "brk.b", "BRK-B"])
def test_every_spelling_of_a_share_class_is_a_share(symbol: str) -> None:
    holdings, skipped = parse_holdings(make_summary({"symbol": symbol, "holdingName": "B", "holdingPercent": 0.125}))
    assert (holdings, skipped) == ((Holding("BRK-B", "B", 12.5),), ())


def test_a_large_holding_that_is_no_share_refuses_the_snapshot() -> None:
    rows = (
        {"symbol": "7203.T", "holdingName": "Toyota", "holdingPercent": 0.125},
        {"symbol": "A", "holdingPercent": 0.5},
    )
    with pytest.raises(FetchError, match=r"skipped rows carry 12.50 % of the fund.*7203.T Toyota \(12.5 %\)") as caught:
        parse_holdings(make_summary(*rows))
    assert caught.value.outcome is Outcome.MALFORMED
    assert len(parse_holdings(make_summary(*rows), 13.0)[0]) == 1


@pytest.mark.parametrize(
    ("weights", "percent"),
    [
        ((60.0, 40.0), "10000.00"),
        ((0.53, 0.53), "106.00"),
        ((1.5, 1.0), "250.00"),
        ((1.3,), "130.00"),
        ((-0.6, -0.4), "-100.00"),
    ],
)
def test_weights_that_cannot_be_fractions_of_one_fund_are_refused(weights: tuple[float, ...], percent: str) -> None:
    rows = [{"symbol": s, "holdingPercent": w} for s, w in zip(("AA", "BB"), weights, strict=False)]
    with pytest.raises(FetchError, match=f"^Yahoo's weights sum to {percent} %, expected at most 100 %$") as caught:
        parse_holdings(make_summary(*rows))
    assert caught.value.outcome is Outcome.MALFORMED


@pytest.mark.parametrize("weight", [True, "0.1", "1_0", [0.1]])
def test_a_weight_that_is_no_number_costs_only_its_row(weight: Any) -> None:
    bad = {"symbol": "AAPL", "holdingName": "Apple", "holdingPercent": weight}
    good = {"symbol": "MSFT", "holdingName": "Microsoft", "holdingPercent": 0.5}
    holdings, skipped = parse_holdings(make_summary(bad, good))
    assert holdings == (Holding("MSFT", "Microsoft", 50.0),)
    assert skipped == (SkippedHolding("AAPL", "Apple", None, "its weight is not a number"),)


def test_a_list_without_any_weight_that_is_a_number_is_not_an_empty_fund() -> None:
    with pytest.raises(ValueError, match="no weight is a number"):
        parse_holdings(make_summary({"symbol": "AAPL", "holdingPercent": "0.1"}))


@pytest.mark.parametrize(
    "label",
    [{}, {"quoteType": None}, {"quoteType": {}}, {"quoteType": {"symbol": None}}, {"quoteType": {"symbol": "XLE"}}],
)
def test_holdings_without_another_name_are_taken_for_those_asked_for(label: dict[str, Any]) -> None:
    payload = make_summary()
    payload["quoteSummary"]["result"][0] |= label
    require_holdings_of(payload, "XLE")


def test_holdings_of_another_fund_are_malformed() -> None:
    payload = make_summary()
    payload["quoteSummary"]["result"][0]["quoteType"] = {"symbol": "XLK"}
    with pytest.raises(FetchError, match="^these are the holdings of XLK$") as caught:
        require_holdings_of(payload, "XLE")
    assert caught.value.outcome is Outcome.MALFORMED


@pytest.mark.parametrize("holdings", [[], None])
def test_a_fund_without_holdings_is_no_data(holdings: Any) -> None:
    payload = make_summary()
    payload["quoteSummary"]["result"][0]["topHoldings"]["holdings"] = holdings
    with pytest.raises(FetchError) as caught:
        parse_holdings(payload)
    assert caught.value.outcome is Outcome.NO_DATA


@pytest.mark.parametrize("result", [[], None])
def test_an_empty_summary_is_no_data(result: Any) -> None:
    with pytest.raises(FetchError) as caught:
        parse_holdings({"quoteSummary": {"result": result, "error": None}})
    assert caught.value.outcome is Outcome.NO_DATA


def test_a_summary_without_the_module_is_an_error() -> None:
    with pytest.raises(KeyError):
        parse_holdings({"quoteSummary": {"result": [{"quoteType": {}}], "error": None}})


def test_recorded_holdings(shared_data: Path) -> None:
    body = (shared_data / "yahoo_responses" / "quoteSummary_all_QQQ_topHoldings.json").read_text()
    holdings, skipped = parse_holdings(json.loads(body))
    require_holdings_of(json.loads(body), "QQQ")
    assert (len(holdings), skipped) == (10, ())
    assert 0 < holdings[-1].holding_percent < holdings[0].holding_percent < 20


def test_a_quote_carries_its_new_york_date() -> None:
    evening = 1709861400  # 2024-03-08 01:30 in UTC, 2024-03-07 20:30 in New York
    row = {"symbol": "AAPL", "marketCap": 4869931925504, "regularMarketPrice": 170.1, "regularMarketTime": evening}
    (answer,) = read_quotes(make_quotes(row | {"longName": "Apple Inc.", "shortName": "Apple"}), ("AAPL",))
    assert answer.outcome is Outcome.OK
    assert answer.quote is not None
    assert answer.quote.quoted_at == dt.datetime(2024, 3, 8, 1, 30, tzinfo=dt.UTC)
    assert answer.quote.quote_date == dt.date(2024, 3, 7)
    assert (answer.quote.market_cap, answer.quote.price) == (4869931925504, 170.1)
    assert (answer.quote.long_name, answer.quote.short_name) == ("Apple Inc.", "Apple")


@pytest.mark.parametrize("cap", [None, 0, -5, math.nan, math.inf, 1e30, 2**63])
def test_an_invalid_market_cap_is_none(cap: Any) -> None:
    (answer,) = read_quotes(make_quotes({"symbol": "A", "marketCap": cap, "regularMarketTime": TUE}), ("A",))
    assert answer.outcome is Outcome.OK
    assert answer.quote is not None
    assert answer.quote.market_cap is None


def test_a_large_cap_keeps_its_last_digit() -> None:
    cap = 2**60 + 1  # a double cannot hold it
    (answer,) = read_quotes(make_quotes({"symbol": "A", "marketCap": cap, "regularMarketTime": TUE}), ("A",))
    assert answer.quote is not None
    assert answer.quote.market_cap == cap


def test_answers_are_in_the_order_of_the_request_and_absent_symbols_are_not_found() -> None:
    payload = make_quotes({"symbol": "B", "regularMarketTime": TUE}, {"symbol": "A", "regularMarketTime": TUE})
    answers = read_quotes(payload, ("A", "X", "B"))
    assert [(a.ticker, a.outcome) for a in answers] == [
        ("A", Outcome.OK),
        ("X", Outcome.NOT_FOUND),
        ("B", Outcome.OK),
    ]


@pytest.mark.parametrize("row", [{}, {"regularMarketTime": "noon"}, {"regularMarketTime": TUE, "marketCap": "big"}])
def test_one_unreadable_quote_does_not_spoil_the_others(row: dict[str, Any]) -> None:
    payload = make_quotes({"symbol": "BAD"} | row, {"symbol": "GOOD", "regularMarketTime": TUE})
    bad, good = read_quotes(payload, ("BAD", "GOOD"))
    assert (bad.outcome, good.outcome) == (Outcome.MALFORMED, Outcome.OK)
    assert bad.raw_text is not None
    assert "BAD" in bad.raw_text


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"regularMarketTime": True}, "True is not a number"),
        ({"regularMarketTime": "1710273600"}, "'1710273600' is not a number"),
        ({"regularMarketTime": TUE + 0.5}, "not a whole number"),
        ({"regularMarketTime": None}, "a time is missing"),
        ({"regularMarketTime": 10**30}, "too large"),
        ({"marketCap": True}, "True is not a number"),
        ({"marketCap": "1_0"}, "'1_0' is not a number"),
        ({"marketCap": 12.5}, "12.5 is not a whole number"),
        ({"marketCap": [1]}, "[1] is not a number"),
        ({"regularMarketPrice": False}, "False is not a number"),
        ({"regularMarketPrice": "170.1"}, "'170.1' is not a number"),
    ],
)
def test_types_of_a_quote_are_strict(row: dict[str, Any], word: str) -> None:
    payload = make_quotes(
        {"symbol": "BAD", "regularMarketTime": TUE} | row, {"symbol": "GOOD", "regularMarketTime": TUE}
    )
    bad, good = read_quotes(payload, ("BAD", "GOOD"))
    assert (bad.outcome, bad.quote, good.outcome) == (Outcome.MALFORMED, None, Outcome.OK)
    assert bad.message is not None
    assert word in bad.message


def test_a_whole_cap_may_be_written_as_a_float() -> None:
    (answer,) = read_quotes(make_quotes({"symbol": "A", "marketCap": 3.5e12, "regularMarketTime": TUE}), ("A",))
    assert answer.quote is not None
    assert answer.quote.market_cap == 3_500_000_000_000


# 1993-01-29 00:00 in New York is 05:00 in UTC; 2024-03-14 02:00 is a day after the clock.
FIRST, LAST = (int(dt.datetime(*t, tzinfo=dt.UTC).timestamp()) for t in ((1993, 1, 29, 5), (2024, 3, 14, 2)))


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (-717_701 * 86_400, "the time of this quote, 0005-01-01T00:00:00+00:00, is before 1993-01-29"),
        (0, "the time of this quote, 1970-01-01T00:00:00+00:00, is before 1993-01-29"),
        (FIRST - 1, "the time of this quote, 1993-01-29T04:59:59+00:00, is before 1993-01-29"),
        (FIRST, None),
        (LAST, None),
        (LAST + 1, "the time of this quote, 2024-03-14T02:00:01+00:00, is in the future"),
        (253_402_300_799, "the time of this quote, 9999-12-31T23:59:59+00:00, is in the future"),
    ],
)
def test_the_time_of_a_quote_is_plausible(seconds: int, message: str | None) -> None:
    (answer,) = read_quotes(make_quotes({"symbol": "A", "regularMarketTime": seconds}), ("A",))
    assert (answer.outcome, answer.message) == (Outcome.MALFORMED if message else Outcome.OK, message)


@pytest.mark.parametrize(
    ("currency", "message"),
    [("GBp", "the prices are in GBp, not in USD"), ("USD", None), (None, None), ("", None)],
)
def test_a_quote_in_another_currency_is_malformed(currency: str | None, message: str | None) -> None:
    row = {"symbol": "A", "regularMarketTime": TUE, "currency": currency}
    (answer,) = read_quotes(make_quotes(row), ("A",))
    assert (answer.outcome, answer.message) == (Outcome.MALFORMED if message else Outcome.OK, message)


@pytest.mark.parametrize("name", [5, True, ["Apple"], {"raw": "Apple"}])
def test_a_name_that_is_no_text_costs_only_the_name(name: Any) -> None:
    row = {"symbol": "A", "regularMarketTime": TUE, "longName": name, "shortName": "Apple", "unheard": [name]}
    (answer,) = read_quotes(make_quotes(row), ("A",))
    assert answer.quote is not None
    assert (answer.quote.long_name, answer.quote.short_name) == (None, "Apple")


@pytest.mark.parametrize("symbol", [["A"], {"raw": "A"}, 5, None])
def test_a_row_whose_symbol_is_no_text_costs_no_other(symbol: Any) -> None:
    payload = make_quotes({"symbol": symbol, "regularMarketTime": TUE}, {"symbol": "B", "regularMarketTime": TUE})
    assert [a.outcome for a in read_quotes(payload, ("A", "B"))] == [Outcome.MALFORMED, Outcome.OK]


def test_names_are_fit_for_a_text_column() -> None:
    row = json.loads(
        '{"symbol": "A", "regularMarketTime": 1710273600, "longName": "Caf\\ud83d\\u0000e ", "shortName": "  "}'
    )
    (answer,) = read_quotes(make_quotes(row), ("A",))
    assert answer.quote is not None
    assert (answer.quote.long_name, answer.quote.short_name) == ("Caf? e", None)


def test_recorded_quotes(shared_data: Path) -> None:
    payload = json.loads((shared_data / "yahoo_responses" / "quote_v7_AAPL_MSFT.json").read_text())
    answers = read_quotes(payload, ("AAPL", "MSFT"), dt.datetime(2025, 11, 1, tzinfo=dt.UTC))
    assert [a.quote.market_cap > 10**12 for a in answers if a.quote and a.quote.market_cap] == [True, True]


CHART_404 = (
    b'{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found, symbol may be delisted"}}}'
)
CHART_400 = (
    b'{"chart":{"result":null,"error":{"code":"Bad Request","description":"Data doesn\'t exist for startDate = 1"}}}'
)
SUMMARY_404 = (
    b'{"quoteSummary":{"result":null,"error":{"code":"Not Found","description":"Quote not found for symbol: X"}}}'
)
CRUMB_401 = b'{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}'
BAD_400 = (
    b'{"finance":{"result":null,"error":{"code":"Bad Request","description":"Missing required query parameter=q"}}}'
)


@pytest.mark.parametrize(
    ("status", "body", "outcome", "may_pass"),
    [
        (404, CHART_404, Outcome.NOT_FOUND, False),
        (404, SUMMARY_404, Outcome.NOT_FOUND, False),
        (404, b"<html>gone</html>", Outcome.TRANSIENT, True),
        (404, BAD_400, Outcome.TRANSIENT, True),
        (400, CHART_400, Outcome.NO_DATA, False),
        (400, BAD_400, Outcome.MALFORMED, False),
        (401, CRUMB_401, Outcome.TRANSIENT, True),
        (500, CRUMB_401, Outcome.TRANSIENT, True),
        (502, b"", Outcome.TRANSIENT, True),
        (503, b"[" * 100_000, Outcome.TRANSIENT, True),
    ],
)
def test_what_an_error_status_means(status: int, body: bytes, outcome: Outcome, may_pass: bool) -> None:
    failure = refusal(status, body)
    assert (failure.outcome, failure.may_pass) == (outcome, may_pass)
    assert str(failure)


def make_quote(**others: Any) -> dict[str, Any]:
    return {"symbol": "BRK-B", "regularMarketTime": TUE, "regularMarketPrice": 400.0, "marketCap": 10**12} | others


@pytest.mark.parametrize("symbol", ["brk-b", "BRK.B", " BRK-B "])
def test_a_quote_is_found_by_any_spelling_of_its_symbol(symbol: str) -> None:
    (answer,) = read_quotes(make_quotes(make_quote(symbol=symbol)), ("BRK-B",))
    assert (answer.outcome, answer.quote and answer.quote.market_cap) == (Outcome.OK, 10**12)


def test_the_same_quote_twice_counts_once_and_different_ones_decide_nothing() -> None:
    (answer,) = read_quotes(make_quotes(make_quote(), make_quote()), ("BRK-B",))
    assert answer.outcome is Outcome.OK
    (answer,) = read_quotes(make_quotes(make_quote(), make_quote(marketCap=10**11)), ("BRK-B",))
    assert (answer.outcome, answer.message) == (Outcome.MALFORMED, "Yahoo gave 2 different quotes of BRK-B")


def test_a_name_is_cut_and_has_no_character_that_a_terminal_obeys() -> None:
    long = make_quote(longName="x" * 10**6, shortName="A\u202egnp\u2028B")
    (answer,) = read_quotes(make_quotes(long), ("BRK-B",))
    assert answer.quote is not None
    assert (answer.quote.long_name, answer.quote.short_name) == ("x" * 500, "A gnp B")
