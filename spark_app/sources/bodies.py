"""Reading response bodies: strict readers of single values, and the error of a request that brings no data."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Any

from spark_app.config.secrets import without_secrets
from spark_app.errors import SparkAppError
from spark_app.market_calendar import FIRST_SESSION, NEW_YORK
from spark_app.sources.contract import Outcome
from spark_app.universe import CURRENCY

LARGEST_LONG = 2**63 - 1
LARGEST_DIVIDEND = 1e6
"""In USD a share: no listed share costs as much."""
LARGEST_SPLIT = 1e4
"""New shares per old share, and old per new: no listed share was split further."""
BODY_ERRORS = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What Python raises while it reads a body of an unexpected shape."""
RAW_TEXT_CHARS = 2000
"""At most so much of an answer is kept as `raw_text`."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EARLIEST = dt.datetime.combine(FIRST_SESSION, dt.time(), NEW_YORK)
_CLOCKS_DIFFER = dt.timedelta(days=1)
"""How far the source's clock may be ahead of the worker's."""

_LONGEST_MESSAGE = 500
_LONGEST_QUOTED = 40
_LONGEST_TEXT = 500
"""A company's name has up to 100 characters."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that a terminal obeys: escape sequences, line breaks, and those that turn the direction of writing."""


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

    Raises: ValueError for anything else, also for `true` and for a number written as a text; OverflowError if no
    float holds it.
    """
    # Without `formatted=false` Yahoo wraps numbers as {"raw": 1.5, "fmt": "1.50"}, and null as {}.
    if isinstance(value, dict):
        value = value.get("raw")
    if value is None:
        return None
    # A boolean is an int for Python, and `float` reads "1_0" as 10.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{_quoted(value)} is not a number")
    number = float(value)
    return None if math.isnan(number) else number


def read_whole(value: Any) -> int | None:
    """Return a whole number that fits a BIGINT, None for null and NaN; 12.0 is whole.

    Raises: as `read_number`; ValueError if it has a fraction or does not fit.
    """
    number = read_number(value)
    if number is None:
        return None
    if not number.is_integer():
        raise ValueError(f"{number} is not a whole number")
    if isinstance(value, dict):
        value = value["raw"]
    whole = int(value)
    if abs(whole) > LARGEST_LONG:
        raise ValueError(f"{whole} is too large")
    return whole


def read_time(epoch_seconds: Any) -> dt.datetime:
    """Return the time (UTC) of a Yahoo time stamp, in whole seconds.

    Raises: ValueError: it is missing or not a whole number; OverflowError: no calendar has that year.
    """
    seconds = read_whole(epoch_seconds)
    if seconds is None:
        raise ValueError("a time is missing")
    return _EPOCH + dt.timedelta(seconds=seconds)


def time_defect(time: dt.datetime, now: dt.datetime) -> str | None:
    """Return why a fact cannot be of `time`, None where it can be; `now` is the worker's clock."""
    if time < _EARLIEST:
        return f"before {FIRST_SESSION}"
    if time > now + _CLOCKS_DIFFER:
        return "in the future"
    return None


def require_currency(currency: Any) -> None:
    """Require prices in the universe's currency; where none is named, nothing is concluded.

    Raises: FetchError: it is another one.
    """
    found = read_text(currency)
    if found not in (None, CURRENCY):
        raise FetchError(Outcome.MALFORMED, f"the prices are in {found}, not in {CURRENCY}")


def read_text(value: Any, longest: int = _LONGEST_TEXT) -> str | None:
    """Return a text on one line that any text column can store, cut after `longest` characters; None if it is missing
    or blank.

    Control characters become spaces.
    """
    if not isinstance(value, str):
        return None
    # JSON may contain half a surrogate pair or a zero character; Arrow rejects the one, Postgres the other.
    return _CONTROL.sub(" ", value.encode("utf-8", errors="replace").decode("utf-8")).strip()[:longest] or None


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_QUOTED else f"{text[:_LONGEST_QUOTED]}..."
