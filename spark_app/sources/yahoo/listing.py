"""Whether a chart that begins after the start of its window shows a new listing, or only lacks its older bars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from spark_app import market_calendar
from spark_app.sources.bodies import read_time
from spark_app.sources.contract import Bar
from spark_app.sources.yahoo.answers import only_result

# The first session of a fetch only gives the price change of the next one.
_MAY_LACK = 1


def find_covered_from(payload: dict[str, Any], bars: Sequence[Bar], first: dt.date) -> dt.date | None:
    """Return the date from which on a chart covers its window; None where it covers it from `first` on.

    A chart that begins later covers the whole window only where its `firstTradeDate` says that nothing was traded
    before its first bar. Yahoo at times answers the first request of a ticker with its last sessions only.

    Args: bars: those of the chart, ascending, at least one.
    """
    begins = bars[0].trade_date
    if begins <= first:
        return None
    lacking = [session for session in market_calendar.sessions_between(first, begins) if session < begins]
    if len(lacking) <= _MAY_LACK:
        return None
    first_traded = _first_trade_date(only_result(payload, "chart")["meta"])
    return None if first_traded is not None and first_traded >= begins else begins


def _first_trade_date(meta: dict[str, Any]) -> dt.date | None:
    """The date of `firstTradeDate` (epoch seconds) at the exchange; None where it is missing or not a time."""
    stamp = meta.get("firstTradeDate")
    if isinstance(stamp, bool) or not isinstance(stamp, int | float):
        return None
    try:
        return read_time(stamp).astimezone(ZoneInfo(meta["exchangeTimezoneName"])).date()
    except (ValueError, OverflowError):
        return None
