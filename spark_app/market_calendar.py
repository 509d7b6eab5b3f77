"""The trading calendar: the sessions of the New York Stock Exchange (XNYS of the package exchange_calendars).

Days are dates in New York, times are aware. No other module reads the calendar.
"""

from __future__ import annotations

import datetime as dt
import functools
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from spark_app.errors import UsageError

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

NEW_YORK = ZoneInfo("America/New_York")
"""The exchange's time zone."""

FIRST_SESSION = dt.date(1993, 1, 29)
"""The first session of SPY, the benchmark."""


@functools.cache
def _calendar() -> ExchangeCalendar:
    import exchange_calendars

    return exchange_calendars.get_calendar("XNYS", start=FIRST_SESSION.isoformat())


def last_completed_session(now: dt.datetime) -> dt.date:
    """Return the newest session whose close (13:00 New York on early closes) is not after `now` (aware).

    Raises: UsageError: `now` is before the close of the first session; a clock may be that wrong.
    """
    closes = _calendar().closes
    completed = int(closes.searchsorted(now, side="right"))
    if not completed:
        raise UsageError(f"no session was over at {now:%Y-%m-%d %H:%M} UTC: set the clock of this machine right")
    return _date(closes.index[completed - 1])


def close_of(session: dt.date) -> dt.datetime:
    """Return the time (UTC) when a session closed or will close.

    Raises: KeyError: `session` is not a session.
    """
    close = _calendar().closes.loc[_stamp(session)]
    return close.to_pydatetime()  # type: ignore[no-any-return]


def is_session(day: dt.date) -> bool:
    """Whether `day` is a trading day."""
    return bool(_calendar().is_session(day.isoformat()))


def session_on_or_before(day: dt.date) -> dt.date:
    """Return `day` if it is a session, else the session before it.

    Raises: UsageError: `day` is before the benchmark's first session.
    """
    if day < FIRST_SESSION:
        raise UsageError(
            f"there are no prices before {FIRST_SESSION}, the benchmark's first session: {day} is too early"
        )
    return _date(_calendar().date_to_session(day.isoformat(), direction="previous"))


def sessions_between(first: dt.date, last: dt.date) -> list[dt.date]:
    """Return the sessions from `first` to `last`, both included."""
    start = max(first, FIRST_SESSION)
    return [_date(s) for s in _calendar().sessions_in_range(start.isoformat(), last.isoformat())]


def sessions_ending(last: dt.date, count: int) -> list[dt.date]:
    """Return the last `count` sessions up to `last`, fewer at the beginning of the calendar (`FIRST_SESSION`)."""
    sessions = _calendar().sessions
    end = int(sessions.searchsorted(_stamp(last), side="right"))
    return [_date(s) for s in sessions[max(0, end - count) : end]]


def _stamp(day: dt.date) -> object:
    import pandas as pd

    return pd.Timestamp(day)


def _date(stamp: object) -> dt.date:
    return stamp.date()  # type: ignore[attr-defined,no-any-return]
