"""The exchange's sessions, kept in a file: the package of the calendar takes a second, too long for a quick command."""

from __future__ import annotations

import bisect
import contextlib
import datetime as dt
import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spark_app import market_calendar
from spark_app.config.installation import app_home
from spark_app.config.settings import CalendarSettings
from spark_app.results.files import write_whole

_PACKAGE = "exchange_calendars"
_ENOUGH = dt.timedelta(days=30)
"""A file whose last session is nearer than this is made again: the package's calendar goes a year ahead of today."""


@dataclass(frozen=True)
class Sessions:
    """The sessions in their order, and the time (UTC) when each closes."""

    days: Sequence[dt.date]
    closes: Sequence[dt.datetime]

    def last_completed(self, now: dt.datetime) -> dt.date:
        """Return the newest session whose close is not after `now` (aware).

        Raises: UsageError: `now` is before the close of the first session.
        """
        completed = bisect.bisect_right(self.closes, now)
        return self.days[completed - 1] if completed else market_calendar.last_completed_session(now)

    def behind(self, day: dt.date, last: dt.date) -> int:
        """Count the sessions after `day` up to `last`, 0 where `day` is not before it."""
        return max(0, bisect.bisect_right(self.days, last) - bisect.bisect_right(self.days, day))

    def before(self, day: dt.date, count: int) -> dt.date | None:
        """Return the session so many sessions before the session `day`; None before the first."""
        place = bisect.bisect_left(self.days, day) - count
        return self.days[place] if place >= 0 else None


def read_sessions(calendar: CalendarSettings, now: dt.datetime) -> Sessions:
    """Read the sessions from the file under SPARK_APP_HOME; where it does not fit, from the package, and keep them."""
    file = app_home() / "cache" / "sessions.json"
    made_of: dict[str, object] = {
        "version": importlib.metadata.version(_PACKAGE),
        "settings": calendar.model_dump(mode="json"),
    }
    sessions = _read(file, made_of)
    if sessions is None or sessions.closes[-1] < now + _ENOUGH:
        sessions = _of_package(calendar)
        _keep(file, made_of, sessions)
    return sessions


def _of_package(calendar: CalendarSettings) -> Sessions:
    market_calendar.correct(calendar.closures, calendar.extra_sessions)
    days = market_calendar.sessions_between(market_calendar.FIRST_SESSION, dt.date.max.replace(year=2200))
    return Sessions(days, [market_calendar.close_of(day) for day in days])


def _read(file: Path, made_of: dict[str, object]) -> Sessions | None:
    """Return what the file says, None where there is none, it is broken, or is of something else."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        known = json.loads(file.read_text())
        if known["made_of"] == made_of and known["closes"]:
            closes = known["closes"]
            return Sessions(
                [dt.date.fromisoformat(day) for day in closes],
                [dt.datetime.fromtimestamp(seconds, dt.UTC) for seconds in closes.values()],
            )
    return None


def _keep(file: Path, made_of: dict[str, object], sessions: Sessions) -> None:
    closes = {str(day): int(close.timestamp()) for day, close in zip(sessions.days, sessions.closes, strict=True)}
    # Whoever may not write here reads the package each time.
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps({"made_of": made_of, "closes": closes}).encode())
