"""The trading calendar: the sessions of the New York Stock Exchange (XNYS of the package exchange_calendars).

Days are dates in New York, times are aware. No other module reads the calendar. The exchange may close on short notice,
so the settings can correct what the package says (`correct`).
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Collection
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from spark_app.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

NEW_YORK = ZoneInfo("America/New_York")
"""The exchange's time zone."""

FIRST_SESSION = dt.date(1993, 1, 29)
"""The first session of SPY, the benchmark."""

_REGULAR_CLOSE = dt.time(16)
_EARLIEST, _LATEST = dt.date(1900, 1, 1), dt.date(2200, 1, 1)
"""pandas counts nanoseconds, from 1677 to 2262: days beyond count as these two, which are no sessions."""

_correction: tuple[frozenset[dt.date], frozenset[dt.date]] = (frozenset(), frozenset())


def correct(closures: Collection[dt.date] = (), extra_sessions: Collection[dt.date] = ()) -> None:
    """Correct the calendar of this process; without arguments it is again that of the package.

    Args:
        closures: days without trading that the calendar may count as sessions.
        extra_sessions: days with trading, to 16:00 New York, that it may not know.
    """
    global _correction
    _correction = (frozenset(closures), frozenset(extra_sessions))


def _closes() -> pd.Series:
    """Return the close (UTC) of each session, by its day at midnight."""
    return _corrected_closes(*_correction)


@functools.cache
def _corrected_closes(closures: frozenset[dt.date], extra_sessions: frozenset[dt.date]) -> pd.Series:
    import pandas as pd

    closes = _package_closes()
    known = {_date(session) for session in closes.index}
    extra = {
        pd.Timestamp(day): pd.Timestamp(dt.datetime.combine(day, _REGULAR_CLOSE, NEW_YORK)).tz_convert("UTC")
        for day in extra_sessions - known
        if FIRST_SESSION <= day < _LATEST
    }
    if extra:
        closes = pd.concat([closes, pd.Series(extra).astype(closes.dtype)]).sort_index()
    return closes.drop([pd.Timestamp(day) for day in closures & known])


@functools.cache
def _package_closes() -> pd.Series:
    import exchange_calendars

    closes: pd.Series = exchange_calendars.get_calendar("XNYS", start=FIRST_SESSION.isoformat()).closes
    return closes


def last_completed_session(now: dt.datetime) -> dt.date:
    """Return the newest session whose close (13:00 New York on early closes) is not after `now` (aware).

    Raises: UsageError: `now` is before the close of the first session; a clock may be that wrong.
    """
    closes = _closes()
    completed = int(closes.searchsorted(now, side="right"))
    if not completed:
        raise UsageError(f"no session was over at {now:%Y-%m-%d %H:%M} UTC: set the clock of this machine right")
    return _date(closes.index[completed - 1])


def close_of(session: dt.date) -> dt.datetime:
    """Return the time (UTC) when a session closed or will close.

    Raises: KeyError: `session` is not a session.
    """
    close = _closes().loc[_stamp(session)]
    return close.to_pydatetime()  # type: ignore[no-any-return]


def is_session(day: dt.date) -> bool:
    """Whether `day` is a trading day."""
    return _stamp(day) in _closes().index


def session_on_or_before(day: dt.date) -> dt.date:
    """Return `day` if it is a session, else the session before it.

    Raises: UsageError: `day` is before the benchmark's first session.
    """
    if day < FIRST_SESSION:
        raise UsageError(
            f"there are no prices before {FIRST_SESSION}, the benchmark's first session: {day} is too early"
        )
    return sessions_ending(day, 1)[0]


def sessions_between(first: dt.date, last: dt.date) -> list[dt.date]:
    """Return the sessions from `first` to `last`, both included."""
    sessions = _closes().index
    start = int(sessions.searchsorted(_stamp(first), side="left"))
    end = int(sessions.searchsorted(_stamp(last), side="right"))
    return [_date(s) for s in sessions[start:end]]


def sessions_ending(last: dt.date, count: int) -> list[dt.date]:
    """Return the last `count` sessions up to `last`, fewer at the beginning of the calendar (`FIRST_SESSION`)."""
    sessions = _closes().index
    end = int(sessions.searchsorted(_stamp(last), side="right"))
    return [_date(s) for s in sessions[max(0, end - count) : end]]


def _stamp(day: dt.date) -> Any:
    import pandas as pd

    return pd.Timestamp(min(max(day, _EARLIEST), _LATEST))


def _date(stamp: object) -> dt.date:
    return stamp.date()  # type: ignore[attr-defined,no-any-return]
