"""Parsing Yahoo's chart answer into daily bars."""

from __future__ import annotations

import bisect
import dataclasses
import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from spark_app.market_calendar import FIRST_SESSION
from spark_app.sources.bodies import (
    BODY_ERRORS,
    LARGEST_DIVIDEND,
    LARGEST_SPLIT,
    FetchError,
    read_number,
    read_text,
    read_time,
    read_whole,
    require_currency,
)
from spark_app.sources.contract import Bar, Outcome
from spark_app.sources.skipped import SkippedPart
from spark_app.sources.yahoo.answers import only_result, other_symbol
from spark_app.sources.yahoo.reconcile import combine_splits

_ROWS_OF_NEWEST = 2
_GRANULARITY = "1d"


class _Event(NamedTuple):
    day: dt.date
    dividend: float = 0.0
    split_ratio: float = 1.0


class _SkippedEvent(NamedTuple):
    day: dt.date | None
    text: str


class _Row(NamedTuple):
    """A row of a chart: its bar, or the error of a value that cannot be read."""

    day: dt.date
    values: tuple[Any, ...]
    bar: Bar | None = None
    error: Exception | None = None


class Chart(NamedTuple):
    """A parsed chart: its rows by time stamp, its dividends and splits, and what is listed as one and cannot be one."""

    rows: tuple[_Row, ...]
    events: tuple[_Event | _SkippedEvent, ...]


def require_chart_of(payload: dict[str, Any], ticker: str) -> None:
    """Require that a chart is the one that was asked for; where a label is missing, nothing is concluded.

    Raises: FetchError: it has another symbol, another currency, or other rows than one per day.
    """
    meta = only_result(payload, "chart")["meta"]
    if symbol := other_symbol(meta.get("symbol"), ticker):
        raise FetchError(Outcome.MALFORMED, f"this is the chart of {symbol}")
    if (granularity := read_text(meta.get("dataGranularity"))) not in (None, _GRANULARITY):
        raise FetchError(Outcome.MALFORMED, f"this chart has one row per {granularity}, not per {_GRANULARITY}")
    require_currency(meta.get("currency"))


def parse_chart(payload: dict[str, Any]) -> Chart:
    """Parse a chart answer; `bars_in` gives its bars, `find_skipped_rows` and `find_skipped_events` what is skipped.

    Raises: FetchError: it has no result. One of BODY_ERRORS: the body has an unexpected shape.
    """
    result = only_result(payload, "chart")
    zone = _read_zone(result)
    return Chart(tuple(_read_rows(result, zone)), tuple(_read_events(result, zone)))


def bars_in(chart: Chart, first: dt.date, last: dt.date) -> tuple[Bar, ...]:
    """Return the daily bars from `first` to `last`, ascending, one per date at the exchange.

    A row without any value is not a bar. Of two rows of one date (Yahoo appends the last trade to the
    row of its session) the later one is used, unless it is incomplete. A row or an event with a value that cannot be
    read is skipped.

    Raises: FetchError: there is no bar in the window. One of BODY_ERRORS: none of its rows can be read.
    """
    bars: dict[dt.date, Bar] = {}
    rows = [row for row in chart.rows if first <= row.day <= last]
    for bar in _bars_of(rows):
        if bar.trade_date not in bars or _is_complete(bar):
            bars[bar.trade_date] = bar
    if not bars:
        if error := next((row.error for row in rows if row.error), None):
            raise error
        raise FetchError(Outcome.NO_DATA, f"Yahoo has no prices from {first} to {last}")
    complete_days = sorted(day for day, bar in bars.items() if _is_complete(bar))
    for event in chart.events:
        if isinstance(event, _SkippedEvent):
            continue
        day = _day_of_effect(event.day, complete_days)
        if day is not None and first <= event.day:
            dividend = bars[day].dividend + event.dividend
            split_ratio = combine_splits(bars[day].split_ratio, event.split_ratio)
            bars[day] = dataclasses.replace(bars[day], dividend=dividend, split_ratio=split_ratio)
    return tuple(bars[day] for day in sorted(bars))


def find_skipped_rows(chart: Chart, first: dt.date, last: dt.date, today: dt.date) -> dict[str, list[SkippedPart]]:
    """List the rows that `bars_in` skips and that a complete chart does not have: reason -> rows.

    A second row of the newest session is Yahoo's last trade, and a row of today is a session in progress: both are
    normal.
    """
    bars = list(_bars_of(chart.rows))
    rows_of = Counter(bar.trade_date for bar in bars)
    newest = max(rows_of, default=last)
    doubled = {day for day, number in rows_of.items() if number > 1 and first <= day <= last}
    if rows_of[newest] == _ROWS_OF_NEWEST:
        doubled.discard(newest)
    chosen = {bar.trade_date: bar for bar in sorted(bars, key=_is_complete)}
    skipped = {
        "duplicate date, the later row is used": [
            _skipped(b) for b in bars if b.trade_date in doubled and b is not chosen[b.trade_date]
        ],
        "a value cannot be read": [
            SkippedPart(str(row.day), json.dumps(row.values))
            for row in chart.rows
            if row.error and first <= row.day <= last
        ],
        f"before {FIRST_SESSION}": [_skipped(b) for b in bars if b.trade_date < FIRST_SESSION],
        "in the future": [_skipped(b) for b in bars if b.trade_date > today],
    }
    return {what: parts for what, parts in skipped.items() if parts}


def find_skipped_events(chart: Chart, today: dt.date) -> dict[str, list[SkippedPart]]:
    """List the dividends and splits that `bars_in` skips and that a sound chart does not have: reason -> events."""
    skipped: dict[str, list[SkippedPart]] = {}
    for event in sorted(chart.events, key=lambda event: event.day or dt.date.min):
        if event.day is None:
            reason = "no date"
        elif isinstance(event, _SkippedEvent):
            reason = "no plausible amount or ratio"
        elif FIRST_SESSION <= event.day <= today:
            continue
        else:
            reason = "in the future" if event.day > today else f"before {FIRST_SESSION}"
        name = None if event.day is None else str(event.day)
        text = event.text if isinstance(event, _SkippedEvent) else str(event)
        skipped.setdefault(reason, []).append(SkippedPart(name, text))
    return skipped


def _skipped(bar: Bar) -> SkippedPart:
    return SkippedPart(str(bar.trade_date), str(bar))


def _read_zone(result: dict[str, Any]) -> ZoneInfo:
    name = result["meta"]["exchangeTimezoneName"]
    try:
        return ZoneInfo(name)
    except OSError as error:
        # "America" is a folder of time zones.
        raise ValueError(f"{name!r} is not a time zone") from error


def _read_rows(result: dict[str, Any], zone: ZoneInfo) -> Iterator[_Row]:
    """Yield the rows that have any value, without events, by time stamp."""
    quote = result["indicators"]["quote"][0]
    if not quote:
        return
    stamps = [read_time(stamp) for stamp in result["timestamp"]]
    columns = [quote[name] for name in ("open", "high", "low", "close")]
    columns += [_adjusted_closes(result["indicators"], len(stamps)), quote["volume"]]
    for stamp, *values in sorted(zip(stamps, *columns, strict=True), key=lambda row: row[0]):
        row = _read_row(stamp.astimezone(zone).date(), tuple(values))
        if row.bar is None or row.bar.volume or set(_prices(row.bar)) != {None}:
            yield row


def _adjusted_closes(indicators: dict[str, Any], rows: int) -> Any:
    """Return the list of adjusted closes; where Yahoo gives none, they are unknown."""
    match indicators.get("adjclose"):
        case [{"adjclose": list(closes)}, *_]:
            return closes
    return [None] * rows


def _read_row(day: dt.date, values: tuple[Any, ...]) -> _Row:
    *prices, volume = values
    try:
        open_price, high, low, close, adj_close = map(read_number, prices)
        return _Row(day, values, Bar(day, open_price, high, low, close, adj_close, read_whole(volume)))
    except BODY_ERRORS as error:
        return _Row(day, values, error=error)


def _bars_of(rows: Iterable[_Row]) -> Iterator[Bar]:
    return (row.bar for row in rows if row.bar is not None)


def _prices(bar: Bar) -> tuple[float | None, ...]:
    return (bar.open_price, bar.high_price, bar.low_price, bar.close_price, bar.adj_close_price)


def _is_complete(bar: Bar) -> bool:
    """Whether a bar has every value: one that lacks any is rejected later, and must not carry a split or a dividend."""
    return None not in (*_prices(bar), bar.volume)


def _read_events(result: dict[str, Any], zone: ZoneInfo) -> Iterator[_Event | _SkippedEvent]:
    """Yield the dividends and splits; a _SkippedEvent for each of them that cannot be one."""
    events = result.get("events") or {}
    if not isinstance(events, dict):
        yield _SkippedEvent(None, json.dumps(events))
        return
    for kind, read in (("dividends", _read_dividend), ("splits", _read_split)):
        items = events.get(kind) or {}
        for item in items.values() if isinstance(items, dict) else [items]:
            yield _read_event(item, zone, read)


def _read_event(item: Any, zone: ZoneInfo, read: Callable[[dict[str, Any], dt.date], _Event]) -> _Event | _SkippedEvent:
    day = None
    try:
        day = _local_date(item["date"], zone)
        return read(item, day)
    except BODY_ERRORS:
        return _SkippedEvent(day, json.dumps(item))


def _read_dividend(item: dict[str, Any], day: dt.date) -> _Event:
    amount = read_number(item["amount"])
    if amount is None or not 0 <= amount < LARGEST_DIVIDEND:
        raise ValueError("a dividend without a plausible amount")
    return _Event(day, dividend=amount)


def _read_split(item: dict[str, Any], day: dt.date) -> _Event:
    numerator, denominator = read_number(item["numerator"]), read_number(item["denominator"])
    ratio = (numerator or 0) / (denominator or 0)
    if not 1 / LARGEST_SPLIT <= ratio <= LARGEST_SPLIT:
        raise ValueError("a split without a plausible ratio")
    return _Event(day, split_ratio=ratio)


def _day_of_effect(event_day: dt.date, days: list[dt.date]) -> dt.date | None:
    """Return the date of the bar that an event belongs to: the event's own, else that of the first complete bar after.

    That bar is the first with the price without the dividend, or on the new share basis. (yfinance
    uses the bar before.) None while there is no such bar: a later run fetches the whole range again.
    """
    position = bisect.bisect_left(days, event_day)
    return days[position] if position < len(days) else None


def _local_date(stamp: Any, zone: ZoneInfo) -> dt.date:
    return read_time(stamp).astimezone(zone).date()
