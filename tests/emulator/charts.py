"""The chart endpoint: window, events and metadata as Yahoo answers them."""

from __future__ import annotations

import datetime as dt
import math
import struct
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from tests.emulator.bodies import Answer, error_answer, json_answer
from tests.emulator.market import NEW_YORK, Bar, Event, Market, new_york_stamp

_SESSIONS_OF_RANGE = {"1d": 1, "5d": 5}
_DAYS_OF_RANGE = {"1mo": 31, "3mo": 92, "6mo": 183, "1y": 366, "2y": 731, "5y": 1827, "10y": 3653}
VALID_RANGES = [*_SESSIONS_OF_RANGE, *_DAYS_OF_RANGE, "ytd", "max"]
_COLUMNS = ("open", "high", "low", "close")

Price = Callable[[float], float]


def widened(price: float) -> float:
    """Return the price as Yahoo's servers hold it: a float32 written with the digits of a double."""
    return float(struct.unpack("f", struct.pack("f", price))[0])


def chart_answer(market: Market, ticker: str, query: dict[str, str], price: Price) -> Answer:
    """Answer v8/finance/chart: rows with period1 <= timestamp < period2, or the newest of a range.

    Args: price: how each price is given, `float` for exactly as it is or `widened`.
    """
    bars = market.bars.get(ticker)
    if not bars:
        return error_answer(404, "chart", "Not Found", "No data found, symbol may be delisted")
    if (interval := query.get("interval", "1d")) != "1d":
        reason = f"Invalid input - interval={interval} is not supported. Valid intervals: [1d]"
        return error_answer(422, "chart", "Unprocessable Entity", reason)
    start, end, range_name = _window(bars, query)
    window = [bar for bar in bars if start <= bar.stamp < end]
    if not window:
        reason = f"Data doesn't exist for startDate = {start}, endDate = {end}"
        return error_answer(400, "chart", "Bad Request", reason)
    result = {
        "meta": _meta(market, ticker, bars, start) | {"dataGranularity": "1d", "range": range_name},
        "timestamp": [bar.stamp for bar in window],
    }
    if events := _events(market.events.get(ticker, ()), start, end, query.get("events", "")):
        result["events"] = events
    result["indicators"] = _indicators(window, price)
    return json_answer({"chart": {"result": [result], "error": None}})


def _window(bars: tuple[Bar, ...], query: dict[str, str]) -> tuple[int, int, str]:
    if "period1" in query or "period2" in query:
        return int(query.get("period1", 0)), int(query.get("period2", bars[-1].stamp + 1)), ""
    name = query.get("range", "1d")
    return _range_start(bars, name), bars[-1].stamp + 1, name


def _range_start(bars: tuple[Bar, ...], name: str) -> int:
    last = bars[-1].trade_date
    if name in _SESSIONS_OF_RANGE:
        return bars[-_SESSIONS_OF_RANGE[name] :][0].stamp
    if name in _DAYS_OF_RANGE:
        return new_york_stamp(last - dt.timedelta(days=_DAYS_OF_RANGE[name]), 0)
    return new_york_stamp(last.replace(month=1, day=1), 0) if name == "ytd" else bars[0].stamp


def _indicators(bars: list[Bar], price: Price) -> dict[str, Any]:
    quote: dict[str, list[Any]] = {name: _prices((getattr(bar, name) for bar in bars), price) for name in _COLUMNS}
    quote["volume"] = [bar.volume for bar in bars]
    return {"quote": [quote], "adjclose": [{"adjclose": _prices((bar.adj_close for bar in bars), price)}]}


def _prices(values: Iterable[float | None], price: Price) -> list[float | None]:
    return [None if value is None or math.isnan(value) else price(value) for value in values]


def _events(events: Iterable[Event], start: int, end: int, asked: str) -> dict[str, dict[str, Any]]:
    inside = [event for event in events if start <= event.stamp < end]
    dividends = {str(e.stamp): {"amount": e.dividend, "date": e.stamp} for e in inside if e.dividend}
    splits = {str(e.stamp): _split(e) for e in inside if e.split_ratio != 1}
    wanted = {"dividends": dividends if "div" in asked else {}, "splits": splits if "split" in asked else {}}
    return {name: found for name, found in wanted.items() if found}


def _split(event: Event) -> dict[str, Any]:
    ratio = Fraction(event.split_ratio).limit_denominator(1000)
    return {
        "date": event.stamp,
        "numerator": ratio.numerator,
        "denominator": ratio.denominator,
        "splitRatio": f"{ratio.numerator}:{ratio.denominator}",
    }


def _meta(market: Market, ticker: str, bars: tuple[Bar, ...], start: int) -> dict[str, Any]:
    last = bars[-1]
    quote = market.quotes.get(ticker)
    year = [bar for bar in bars if (last.trade_date - bar.trade_date).days < 366]
    before = [bar.close for bar in bars if bar.stamp < start and bar.close is not None]
    is_fund = market.quote_type(ticker) == "ETF"
    return {
        "currency": quote.currency if quote else "USD",
        "symbol": ticker,
        "exchangeName": "PCX" if is_fund else "NMS",
        "fullExchangeName": "NYSEArca" if is_fund else "NasdaqGS",
        "instrumentType": market.quote_type(ticker),
        "firstTradeDate": bars[0].stamp,
        "regularMarketTime": last.stamp if last.traded_at else new_york_stamp(last.trade_date, 16),
        "hasPrePostMarketData": True,
        **_zone_of(last.trade_date),
        "exchangeTimezoneName": "America/New_York",
        "regularMarketPrice": last.close,
        "fiftyTwoWeekHigh": max((bar.high for bar in year if bar.high is not None), default=None),
        "fiftyTwoWeekLow": min((bar.low for bar in year if bar.low is not None), default=None),
        "regularMarketDayHigh": last.high,
        "regularMarketDayLow": last.low,
        "regularMarketVolume": last.volume,
        "longName": quote.long_name if quote else ticker,
        "shortName": quote.short_name if quote else ticker,
        "chartPreviousClose": before[-1] if before else bars[0].open,
        "priceHint": 2,
        "currentTradingPeriod": _trading_period(last.trade_date),
        "validRanges": VALID_RANGES,
    }


def _zone_of(day: dt.date) -> dict[str, Any]:
    noon = dt.datetime.combine(day, dt.time(12), tzinfo=NEW_YORK)
    return {"gmtoffset": int((noon.utcoffset() or dt.timedelta()).total_seconds()), "timezone": noon.tzname()}


def _trading_period(day: dt.date) -> dict[str, dict[str, Any]]:
    edges = [new_york_stamp(day, 4), new_york_stamp(day, 9, 30), new_york_stamp(day, 16), new_york_stamp(day, 20)]
    zone = _zone_of(day)
    return {
        name: {"timezone": zone["timezone"], "start": edges[i], "end": edges[i + 1], "gmtoffset": zone["gmtoffset"]}
        for i, name in enumerate(("pre", "regular", "post"))
    }
