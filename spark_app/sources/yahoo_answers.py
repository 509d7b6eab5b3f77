"""Yahoo's JSON answers, turned into the pipeline's own data: pure functions over parsed bodies.

A body of another shape raises one of `failures.BODY_ERRORS`, one that says why it brings no data a
FetchError. Shapes: recorded answers of the chart, quoteSummary and v7/quote endpoints.
"""

from __future__ import annotations

import json
from typing import Any

from spark_app.sources.clock import NEW_YORK
from spark_app.sources.contract import Answer, Holding, LeftOutHolding, Outcome, Quote
from spark_app.sources.failures import BODY_ERRORS, FetchError, describe
from spark_app.sources.holdings import classify_holding
from spark_app.sources.http_session import RAW_TEXT_CHARS
from spark_app.sources.values import LARGEST_LONG, read_number, read_text, read_time, read_whole


def refusal(status: int, body: bytes) -> FetchError:
    """Say what an answer with an error status means."""
    words = _error_words(_parsed(body))
    if words is None or status >= 500 or status in (401, 403):
        return FetchError(
            Outcome.TRANSIENT, f"Yahoo answered with status {status}: {words or 'no reason given'}", may_pass=True
        )
    if status == 404:
        return FetchError(Outcome.NOT_FOUND, f"Yahoo does not know this ticker: {words}")
    return _failure_in_words(words)


def only_result(envelope: dict[str, Any]) -> Any:
    """Return the one result of an answer's envelope.

    Raises: FetchError where there is none.
    """
    words = _error_words({"": envelope})
    if words is not None:
        raise _failure_in_words(words)
    if not envelope["result"]:
        raise FetchError(Outcome.NO_DATA, "Yahoo answered without a result")
    return envelope["result"][0]


def parse_holdings(payload: dict[str, Any]) -> tuple[tuple[Holding, ...], tuple[LeftOutHolding, ...]]:
    """Read a quoteSummary answer: the holdings in Yahoo's order, weights in percent, and what is no share.

    Raises: FetchError if the fund lists none.
    """
    rows = only_result(payload["quoteSummary"])["topHoldings"]["holdings"]
    if not rows:
        raise FetchError(Outcome.NO_DATA, "Yahoo lists no holdings of this fund")
    read = [_read_holding(row) for row in rows]
    holdings = tuple(row for row in read if isinstance(row, Holding))
    if not holdings:
        raise FetchError(Outcome.NO_DATA, "Yahoo lists no shares among the holdings of this fund")
    return holdings, tuple(row for row in read if isinstance(row, LeftOutHolding))


def parse_quotes(payload: dict[str, Any], tickers: tuple[str, ...]) -> list[Answer]:
    """Read a v7/quote answer, one Answer per ticker asked; Yahoo leaves out those that it does not know."""
    rows = {row["symbol"]: row for row in payload["quoteResponse"]["result"] or ()}
    return [_answer_quote(ticker, rows.get(ticker)) for ticker in tickers]


def _read_holding(row: dict[str, Any]) -> Holding | LeftOutHolding:
    fraction = read_number(row.get("holdingPercent"))
    percent = None if fraction is None else fraction * 100
    return classify_holding(read_text(row.get("symbol")) or "", read_text(row.get("holdingName")), percent)


def _answer_quote(ticker: str, row: dict[str, Any] | None) -> Answer:
    if row is None:
        return Answer(ticker, Outcome.NOT_FOUND, f"Yahoo has no quote of {ticker}")
    try:
        return Answer(ticker, Outcome.OK, quote=_read_quote(row))
    except BODY_ERRORS as error:
        failure = FetchError(Outcome.MALFORMED, f"Yahoo's quote of {ticker} cannot be read: {describe(error)}")
        return Answer(ticker, failure.outcome, str(failure), raw_text=json.dumps(row)[:RAW_TEXT_CHARS])


def _read_quote(row: dict[str, Any]) -> Quote:
    quoted_at = read_time(row["regularMarketTime"])
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


def _error_words(payload: Any) -> str | None:
    """Return Yahoo's own words for an error, in whichever envelope (chart, quoteSummary, finance) they came."""
    for envelope in payload.values() if isinstance(payload, dict) else ():
        match envelope:
            case {"error": {"description": str(words)}}:
                return words
    return None


def _failure_in_words(words: str) -> FetchError:
    if words.startswith(("No data found", "Data doesn't exist")):
        return FetchError(Outcome.NO_DATA, f"Yahoo has no data: {words}")
    return FetchError(Outcome.MALFORMED, f"Yahoo answered: {words}")
