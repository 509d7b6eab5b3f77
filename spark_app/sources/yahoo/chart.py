"""Parsing Yahoo's chart answer into daily bars."""

from __future__ import annotations

import bisect
import dataclasses
import datetime as dt
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from spark_app.sources.bodies import FetchError, read_number, read_time, read_whole
from spark_app.sources.contract import Bar, Outcome
from spark_app.sources.yahoo.answers import only_result
from spark_app.sources.yahoo.reconcile import combine_splits

_ROWS_OF_NEWEST = 2


class _Event(NamedTuple):
    day: dt.date
    dividend: float = 0.0
    split_ratio: float = 1.0


def parse_chart(payload: dict[str, Any], first: dt.date, last: dt.date) -> tuple[Bar, ...]:
    """Parse the daily bars from `first` to `last`, ascending, one per date at the exchange.

    A row without any value is not a bar. Of two rows of one date (Yahoo appends the last trade to the
    row of its session) the later one is used, unless it is incomplete.

    Raises: FetchError: there is no bar in the window. One of BODY_ERRORS: the body has an unexpected shape.
    """
    result = only_result(payload, "chart")
    zone = _read_zone(result)
    bars: dict[dt.date, Bar] = {}
    for bar in _read_bars(result, zone):
        if first <= bar.trade_date <= last and (bar.trade_date not in bars or _is_complete(bar)):
            bars[bar.trade_date] = bar
    if not bars:
        raise FetchError(Outcome.NO_DATA, f"Yahoo has no prices from {first} to {last}")
    complete_days = sorted(day for day, bar in bars.items() if _is_complete(bar))
    for event in _read_events(result, zone):
        day = _day_of_effect(event.day, complete_days)
        if day is not None and first <= event.day:
            dividend = bars[day].dividend + event.dividend
            split_ratio = combine_splits(bars[day].split_ratio, event.split_ratio)
            bars[day] = dataclasses.replace(bars[day], dividend=dividend, split_ratio=split_ratio)
    return tuple(bars[day] for day in sorted(bars))


def find_skipped_rows(payload: dict[str, Any], first: dt.date, last: dt.date, today: dt.date) -> dict[str, list[Bar]]:
    """List the rows that `parse_chart` skips and that a complete chart does not have: reason -> rows.

    A second row of the newest session is Yahoo's last trade, and a row of today is a session in progress: both are
    normal.
    """
    result = only_result(payload, "chart")
    bars = list(_read_bars(result, _read_zone(result)))
    rows_of = Counter(bar.trade_date for bar in bars)
    newest = max(rows_of, default=last)
    doubled = {day for day, rows in rows_of.items() if rows > 1 and first <= day <= last}
    if rows_of[newest] == _ROWS_OF_NEWEST:
        doubled.discard(newest)
    chosen = {bar.trade_date: bar for bar in sorted(bars, key=_is_complete)}
    skipped = {
        "duplicate date, the later row is used": [
            b for b in bars if b.trade_date in doubled and b is not chosen[b.trade_date]
        ],
        "in the future": [b for b in bars if b.trade_date > today],
    }
    return {what: rows for what, rows in skipped.items() if rows}


def _read_zone(result: dict[str, Any]) -> ZoneInfo:
    name = result["meta"]["exchangeTimezoneName"]
    try:
        return ZoneInfo(name)
    except OSError as error:
        # "America" is a folder of time zones.
        raise ValueError(f"{name!r} is not a time zone") from error


def _read_bars(result: dict[str, Any], zone: ZoneInfo) -> Iterator[Bar]:
    """Yield the rows that have any value, without events, by time stamp."""
    quote = result["indicators"]["quote"][0]
    if not quote:
        return
    stamps = result["timestamp"]
    adjusted = result["indicators"].get("adjclose") or [{"adjclose": [None] * len(stamps)}]
    prices = zip(quote["open"], quote["high"], quote["low"], quote["close"], adjusted[0]["adjclose"], strict=True)
    rows = zip(stamps, prices, quote["volume"], strict=True)
    for stamp, row_prices, volume in sorted(rows, key=lambda row: row[0]):
        open_price, high, low, close, adj_close = map(read_number, row_prices)
        bar = Bar(_local_date(stamp, zone), open_price, high, low, close, adj_close, read_whole(volume))
        if bar.volume or {open_price, high, low, close, adj_close} != {None}:
            yield bar


def _is_complete(bar: Bar) -> bool:
    """Whether a bar has every value: one that lacks any is rejected later, and must not carry a split or a dividend."""
    prices = (bar.open_price, bar.high_price, bar.low_price, bar.close_price, bar.adj_close_price)
    return None not in (*prices, bar.volume)


def _read_events(result: dict[str, Any], zone: ZoneInfo) -> Iterator[_Event]:
    events = result.get("events") or {}
    for item in (events.get("dividends") or {}).values():
        yield _Event(_local_date(item["date"], zone), dividend=_finite(item["amount"]))
    for item in (events.get("splits") or {}).values():
        ratio = _finite(item["numerator"]) / _finite(item["denominator"])
        yield _Event(_local_date(item["date"], zone), split_ratio=ratio)


def _day_of_effect(event_day: dt.date, days: list[dt.date]) -> dt.date | None:
    """Return the date of the bar that an event belongs to: the event's own, else that of the first complete bar after.

    That bar is the first with the price without the dividend, or on the new share basis. (yfinance
    uses the bar before.) None while there is no such bar: a later run fetches the whole range again.
    """
    position = bisect.bisect_left(days, event_day)
    return days[position] if position < len(days) else None


def _local_date(stamp: Any, zone: ZoneInfo) -> dt.date:
    return read_time(stamp).astimezone(zone).date()


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} in a dividend or split")
    return number
