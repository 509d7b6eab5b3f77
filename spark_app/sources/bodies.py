"""Reading response bodies: strict readers of single values, and the error of a request that brings no data."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Any

from spark_app.config.secrets import without_secrets
from spark_app.errors import SparkAppError
from spark_app.sources.contract import Outcome

LARGEST_LONG = 2**63 - 1
BODY_ERRORS = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What Python raises while it reads a body of an unexpected shape."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LONGEST_MESSAGE = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class FetchError(SparkAppError):
    """A typed failure of one request; it becomes an `Answer` and never leaves the sources.

    `may_pass`: the same request may succeed in a moment.
    """

    def __init__(self, outcome: Outcome, message: str, *, may_pass: bool = False) -> None:
        # The message may quote the body or a proxy's URL, which may contain anything.
        super().__init__(without_secrets(read_text(message) or "")[:_LONGEST_MESSAGE])
        self.outcome = outcome
        self.may_pass = may_pass


def describe(error: Exception) -> str:
    """Return an error's type and text; its repr may contain the whole body."""
    return f"{type(error).__name__}: {error}"


def read_number(value: Any) -> float | None:
    """Return a number as a float, None for null and NaN.

    Raises: TypeError, ValueError for anything else.
    """
    # Without `formatted=false` Yahoo wraps numbers as {"raw": 1.5, "fmt": "1.50"}.
    if isinstance(value, dict):
        value = value.get("raw")
    number = math.nan if value is None else float(value)
    return None if math.isnan(number) else number


def read_whole(value: Any) -> int | None:
    """Return a number as a whole one that fits a BIGINT, None for null and NaN.

    Raises: as `read_number`; ValueError, OverflowError if it does not fit.
    """
    number = read_number(value)
    if number is None:
        return None
    whole = value if isinstance(value, int) else int(number)
    if abs(whole) > LARGEST_LONG:
        raise ValueError(f"{whole} is too large")
    return whole


def read_time(epoch_seconds: Any) -> dt.datetime:
    """Return the time (UTC) of a Yahoo time stamp, in seconds.

    Raises: TypeError, OverflowError.
    """
    return _EPOCH + dt.timedelta(seconds=epoch_seconds)


def read_text(value: Any) -> str | None:
    """Return a text on one line that any text column can store; None if it is missing or blank.

    Control characters become spaces: a terminal would obey their escape sequences.
    """
    if not isinstance(value, str):
        return None
    # JSON may contain half a surrogate pair or a zero character; Arrow rejects the one, Postgres the other.
    return _CONTROL.sub(" ", value.encode("utf-8", errors="replace").decode("utf-8")).strip() or None
