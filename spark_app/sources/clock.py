"""The time as sources see it."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")


def utc_now() -> dt.datetime:
    """Return the time in UTC, aware."""
    return dt.datetime.now(dt.UTC)
