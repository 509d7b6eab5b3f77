"""Single values of foreign answers, read strictly: a value of another kind raises one of BODY_ERRORS."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

LARGEST_LONG = 2**63 - 1

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def read_number(value: Any) -> float | None:
    """Return a number as a float; None for null and NaN. Raises TypeError, ValueError for anything else."""
    if isinstance(value, dict):
        value = value.get("raw")
    number = math.nan if value is None else float(value)
    return None if math.isnan(number) else number


def read_whole(value: Any) -> int | None:
    """Return a number as a whole one that fits a BIGINT; None for null and NaN. Raises like `read_number`."""
    number = read_number(value)
    if number is None:
        return None
    whole = value if isinstance(value, int) else int(number)
    if abs(whole) > LARGEST_LONG:
        raise ValueError(f"{whole} is too large")
    return whole


def read_time(epoch_seconds: Any) -> dt.datetime:
    """Return the moment (UTC) of a Yahoo time stamp. Raises TypeError, OverflowError."""
    return _EPOCH + dt.timedelta(seconds=epoch_seconds)


def read_text(value: Any) -> str | None:
    """Return a name, fit for any text column; None if it is missing or blank."""
    if not isinstance(value, str):
        return None
    # JSON may carry half a surrogate pair or a zero character; Arrow refuses the one, Postgres the other.
    return value.encode("utf-8", errors="replace").decode("utf-8").replace("\x00", " ").strip() or None
