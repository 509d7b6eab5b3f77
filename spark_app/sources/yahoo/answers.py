"""Parsing Yahoo's JSON answers, holdings and quotes: pure functions over parsed bodies.

A body of an unexpected shape raises one of `bodies.BODY_ERRORS`, an answer with an error of Yahoo's a FetchError.
The shapes are those of recorded answers of the chart, quoteSummary and v7/quote endpoints.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from spark_app.market_calendar import NEW_YORK
from spark_app.sources.bodies import (
    BODY_ERRORS,
    LARGEST_LONG,
    RAW_TEXT_CHARS,
    FetchError,
    describe,
    read_number,
    read_text,
    read_time,
    read_whole,
    require_currency,
    time_defect,
)
from spark_app.sources.contract import SKIPPED_HOLDINGS_PERCENT, Answer, Holding, Outcome, Quote, SkippedHolding
from spark_app.sources.holdings import classify_holding, describe_wrong_sum, split_holdings
from spark_app.sources.symbols import to_yahoo_symbol

_OF_ONE_TICKER = ("chart", "quoteSummary")
"""The envelopes of endpoints with one ticker; a 404 there is about the ticker, elsewhere about the endpoint."""

_UNREADABLE_WEIGHT = "its weight is not a number"


def refusal(status: int, body: bytes) -> FetchError:
    """Return the error of an answer with an HTTP error status."""
    envelope, words = _error_words(_parsed(body))
    is_lost = status == 404 and envelope not in _OF_ONE_TICKER
    if words is None or status >= 500 or status in (401, 403) or is_lost:
        return FetchError(
            Outcome.TRANSIENT, f"Yahoo answered with status {status}: {words or 'no reason given'}", may_pass=True
        )
    if status == 404:
        return FetchError(Outcome.NOT_FOUND, f"Yahoo does not know this ticker: {words}")
    return _failure_in_words(words)


def results(payload: dict[str, Any], envelope: str) -> list[Any]:
    """Return the list of results in an answer's envelope, which may be empty.

    Raises: FetchError: the envelope has an error, or no list.
    """
    found, words = _error_words(payload)
    if words is not None and found != envelope:
        # Yahoo's gateway answers under "finance" for any endpoint, and not always with an error status.
        raise FetchError(Outcome.TRANSIENT, f"Yahoo answered: {words}", may_pass=True)
    if words is not None:
        raise _failure_in_words(words)
    listed = payload[envelope]["result"]
    if listed is None:
        raise _no_result()
    if not isinstance(listed, list):
        raise TypeError("the result is not a list")
    return listed


def only_result(payload: dict[str, Any], envelope: str) -> Any:
    """Return the only result in an answer's envelope.

    Raises: FetchError: there is none.
    """
    listed = results(payload, envelope)
    if not listed:
        raise _no_result()
    return listed[0]


def other_symbol(label: Any, ticker: str) -> str | None:
    """Return the symbol that an answer names if it is not `ticker`; None where it is, or where none is named."""
    symbol = read_text(label)
    return None if symbol is None or to_yahoo_symbol(symbol) == ticker else symbol


def require_holdings_of(payload: dict[str, Any], ticker: str) -> None:
    """Require that a quoteSummary answer is of the fund that was asked for, where it names one.

    Raises: FetchError: it is of another one.
    """
    match only_result(payload, "quoteSummary"):
        case {"quoteType": {"symbol": label}} if symbol := other_symbol(label, ticker):
            raise FetchError(Outcome.MALFORMED, f"these are the holdings of {symbol}")


def parse_holdings(
    payload: dict[str, Any], skipped_holdings_percent: float = SKIPPED_HOLDINGS_PERCENT
) -> tuple[tuple[Holding, ...], tuple[SkippedHolding, ...]]:
    """Parse a quoteSummary answer: the holdings in Yahoo's order, weights in percent, and the skipped rows.

    Raises: FetchError: Yahoo lists no shares of this fund, or the weights cannot be right. ValueError: none of the
    weights can be read.
    """
    rows = only_result(payload, "quoteSummary")["topHoldings"]["holdings"]
    if not rows:
        raise FetchError(Outcome.NO_DATA, "Yahoo lists no holdings of this fund")
    read = [_read_holding(row) for row in rows]
    # Yahoo gives fractions: 60 would be 6000 %.
    if wrong := describe_wrong_sum(read):
        raise FetchError(Outcome.MALFORMED, f"Yahoo's weights sum to {wrong}, expected at most 100 %")
    holdings, skipped = split_holdings(read, skipped_holdings_percent)
    if not holdings and _has_unreadable_weight(skipped):
        raise ValueError("no weight is a number")
    if not holdings:
        raise FetchError(Outcome.NO_DATA, "Yahoo lists no shares among the holdings of this fund")
    return holdings, skipped


def parse_quotes(payload: dict[str, Any], tickers: tuple[str, ...], now: dt.datetime) -> list[Answer]:
    """Parse a v7/quote answer: one Answer per requested ticker. Yahoo's answer lacks tickers that it does not know.

    Args:
        now: the worker's clock (aware); a quote of a later time is malformed.

    Raises: FetchError: the answer has no results at all.
    """
    listed = results(payload, "quoteResponse")
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in listed:
        if (symbol := _symbol_of(row)) is not None:
            rows.setdefault(symbol, []).append(row)
    has_nameless = any(_symbol_of(row) is None for row in listed)
    absent = Outcome.MALFORMED if has_nameless else Outcome.NOT_FOUND
    return [
        _answer_quote(ticker, rows[ticker], now)
        if ticker in rows
        else Answer(ticker, absent, f"Yahoo gave no quote under the name {ticker}")
        for ticker in tickers
    ]


def _read_holding(row: dict[str, Any]) -> Holding | SkippedHolding:
    ticker, name = read_text(row.get("symbol")), read_text(row.get("holdingName"))
    try:
        fraction = read_number(row.get("holdingPercent"))
    except BODY_ERRORS:
        return SkippedHolding(ticker, name, None, _UNREADABLE_WEIGHT)
    percent = None if fraction is None else fraction * 100
    return classify_holding(ticker or "", name, percent)


def _has_unreadable_weight(skipped: Sequence[SkippedHolding]) -> bool:
    return any(row.reason == _UNREADABLE_WEIGHT for row in skipped)


def _symbol_of(row: Any) -> str | None:
    match row:
        case {"symbol": str(symbol)}:
            return to_yahoo_symbol(symbol)
    return None


def _answer_quote(ticker: str, rows: Sequence[dict[str, Any]], now: dt.datetime) -> Answer:
    row = rows[0]
    try:
        quotes = {_read_quote(row, now) for row in rows}
        if len(quotes) > 1:
            raise FetchError(Outcome.MALFORMED, f"Yahoo gave {len(quotes)} different quotes of {ticker}")
        return Answer(ticker, Outcome.OK, quote=quotes.pop())
    except FetchError as error:
        failure = error
    except BODY_ERRORS as error:
        failure = FetchError(Outcome.MALFORMED, f"Yahoo's quote of {ticker} cannot be read: {describe(error)}")
    return Answer(ticker, failure.outcome, str(failure), raw_text=json.dumps(row)[:RAW_TEXT_CHARS])


def _read_quote(row: dict[str, Any], now: dt.datetime) -> Quote:
    require_currency(row.get("currency"))
    quoted_at = read_time(row.get("regularMarketTime"))
    if defect := time_defect(quoted_at, now):
        raise FetchError(Outcome.MALFORMED, f"the time of this quote, {quoted_at.isoformat()}, is {defect}")
    return Quote(
        quoted_at=quoted_at,
        quote_date=quoted_at.astimezone(NEW_YORK).date(),
        market_cap=_positive_cap(row.get("marketCap")),
        price=read_number(row.get("regularMarketPrice")),
        long_name=read_text(row.get("longName")),
        short_name=read_text(row.get("shortName")),
    )


def _positive_cap(value: Any) -> int | None:
    number = read_number(value)
    if number is None or not 0 < number <= LARGEST_LONG:
        return None
    return read_whole(value)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _error_words(payload: Any) -> tuple[str, str] | tuple[None, None]:
    """Return the envelope (chart, quoteSummary, quoteResponse, finance) with an error, and Yahoo's description."""
    for name, envelope in payload.items() if isinstance(payload, dict) else ():
        match envelope:
            case {"error": {"description": str(words)}}:
                return name, words
    return None, None


def _no_result() -> FetchError:
    return FetchError(Outcome.NO_DATA, "Yahoo answered without a result")


def _failure_in_words(words: str) -> FetchError:
    if words.startswith(("No data found", "Data doesn't exist")):
        return FetchError(Outcome.NO_DATA, f"Yahoo has no data: {words}")
    return FetchError(Outcome.MALFORMED, f"Yahoo answered: {words}")
