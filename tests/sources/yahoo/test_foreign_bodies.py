"""Whatever Yahoo's endpoints send, reading it gives data of the right types, or an error that the source expects."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st
from pyspark.sql.pandas.types import to_arrow_schema

from spark_app.schemas import FETCHES
from spark_app.sources.bodies import BODY_ERRORS, FetchError
from spark_app.sources.contract import Answer, FetchRequest, Holding, Kind, Outcome
from spark_app.sources.skipped import SkippedPart
from spark_app.sources.worker import _fetch_rows
from spark_app.sources.yahoo.answers import parse_holdings, parse_quotes, refusal, require_holdings_of
from spark_app.sources.yahoo.chart import (
    bars_in,
    find_skipped_events,
    find_skipped_rows,
    parse_chart,
    require_chart_of,
)
from tests.foreign_json import JSON, altered
from tests.sources.yahoo.test_answers import NOW, make_quotes, make_summary
from tests.sources.yahoo.test_chart import FRI, MON, THU, TUE, TUE_DATE, WINDOW, dividend, make_chart, row, split

EVENTS = {"dividends": {str(FRI): dividend(FRI, 0.5)}, "splits": {str(MON): split(MON, 4, 1)}}
CHART = make_chart([row(THU), row(FRI, None), row(MON, 12.5), row(TUE), row(TUE + 60)], events=EVENTS)
SUMMARY = make_summary(
    {"symbol": "NVDA", "holdingName": "NVIDIA Corp", "holdingPercent": 0.125},
    {"symbol": "BRK-B", "holdingName": "Berkshire", "holdingPercent": {"raw": 0.25, "fmt": "25%"}},
)
QUOTES = make_quotes(
    {"symbol": "AAPL", "regularMarketTime": TUE, "marketCap": 10**12, "regularMarketPrice": 190.5, "longName": "Apple"},
    {"symbol": "BRK-B", "regularMarketTime": TUE, "marketCap": 5, "regularMarketPrice": 1, "shortName": "Berkshire"},
)
ERROR = {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found"}}}


def known_or_any(body: Any) -> st.SearchStrategy[Any]:
    return altered(body) | st.dictionaries(st.text(max_size=5), JSON, max_size=2)


def is_number(value: object) -> bool:
    return isinstance(value, float) and not math.isnan(value)


def require_storable(*answers: Answer) -> None:
    """Make the frame that Spark takes from a worker: what it refuses there would end the stage."""
    request = FetchRequest(Kind.CHART, tuple(answer.ticker for answer in answers), *WINDOW)
    frame = _fetch_rows(request, list(answers), fetched_at=NOW, run_id="run-1")
    pa.Table.from_pandas(frame, schema=to_arrow_schema(FETCHES, timezone="UTC"))


@given(known_or_any(CHART))
@example(make_chart([row(THU)], zone="America"))
@example(make_chart([(THU, 10.0, 10.0, 10.0, True, 10.0, True)]))
def test_a_chart_gives_ordered_bars_or_an_expected_error(payload: dict[str, Any]) -> None:
    try:
        require_chart_of(payload, "XLK")
        chart = parse_chart(payload)
        bars = bars_in(chart, *WINDOW)
    except (FetchError, *BODY_ERRORS):
        return
    # What a chart with bars skips can always be listed.
    skipped = find_skipped_rows(chart, *WINDOW, TUE_DATE) | find_skipped_events(chart, TUE_DATE)
    days = [bar.trade_date for bar in bars]
    assert days == sorted(set(days)) != []
    for bar in bars:
        prices = (bar.open_price, bar.high_price, bar.low_price, bar.close_price, bar.adj_close_price)
        assert WINDOW[0] <= bar.trade_date <= WINDOW[1]
        assert all(price is None or is_number(price) for price in prices)
        assert bar.volume is None or (type(bar.volume) is int and -(2**63) < bar.volume < 2**63)
        assert 0 <= bar.dividend < math.inf
        assert 0 < bar.split_ratio < math.inf
    assert all(isinstance(found, SkippedPart) for parts in skipped.values() for found in parts)
    texts = "; ".join(part.text for parts in skipped.values() for part in parts)
    require_storable(Answer("XLK", Outcome.OK, "; ".join(skipped), texts, bars=bars))


@given(st.lists(JSON, min_size=1, max_size=4), st.lists(JSON, max_size=4))
def test_whatever_is_listed_as_an_event_costs_no_bar(splits: list[Any], dividends: list[Any]) -> None:
    events = {"splits": dict(enumerate(splits)), "dividends": dict(enumerate(dividends))}
    payload = make_chart([row(THU), row(FRI)], events=events)
    assert [bar.close_price for bar in bars_in(parse_chart(payload), *WINDOW)] == [10.0, 10.0]


@given(known_or_any(SUMMARY))
def test_a_summary_gives_holdings_with_a_ticker_and_a_weight_or_an_expected_error(payload: dict[str, Any]) -> None:
    try:
        require_holdings_of(payload, "XLK")
        holdings, left_out = parse_holdings(payload)
    except (FetchError, *BODY_ERRORS):
        return
    assert holdings
    for holding in holdings:
        assert isinstance(holding, Holding)
        assert holding.holding_ticker.encode()
        assert 0 <= holding.holding_percent <= 100
    assert all(row.reason for row in left_out)
    require_storable(Answer("XLK", Outcome.OK, holdings=holdings, skipped=left_out))


@given(known_or_any(QUOTES))
@example(make_quotes({"symbol": "AAPL", "regularMarketTime": -717_701 * 86_400}))
def test_quotes_give_an_answer_for_each_ticker_or_an_expected_error(payload: dict[str, Any]) -> None:
    tickers = ("AAPL", "BRK-B", "KO")
    try:
        answers = parse_quotes(payload, tickers, NOW)
    except (FetchError, *BODY_ERRORS):
        return
    assert tuple(answer.ticker for answer in answers) == tickers
    for answer in answers:
        assert isinstance(answer, Answer)
        assert (answer.outcome is Outcome.OK) == (answer.quote is not None)
        assert answer.quote is not None or answer.message
        if answer.quote is not None:
            assert dt.date(1993, 1, 29) <= answer.quote.quote_date <= dt.date(2024, 3, 14)
            assert answer.quote.price is None or is_number(answer.quote.price)
            assert answer.quote.market_cap is None or type(answer.quote.market_cap) is int
            assert 0 < (answer.quote.market_cap or 1) < 2**63
    require_storable(*answers)


@given(st.integers(400, 599), st.binary(max_size=30) | altered(ERROR).map(lambda body: json.dumps(body).encode()))
def test_a_refusal_has_an_outcome_and_words(status: int, body: bytes) -> None:
    failure = refusal(status, body)
    assert failure.outcome in (Outcome.TRANSIENT, Outcome.NOT_FOUND, Outcome.NO_DATA, Outcome.MALFORMED)
    assert str(failure)
    assert failure.may_pass == (failure.outcome is Outcome.TRANSIENT)
