"""Reading the values of options, for argparse: each function returns the value or says what is wrong with it."""

from __future__ import annotations

import argparse
import datetime as dt
import re
from collections.abc import Sequence

_MINUTES_OF_A_DAY = 1440
_MOST_DIGITS, _MOST_SHOWN = 9, 60


def tables(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Read a list of tables, separated by commas, and put it into the order of `known`."""
    return _some_of(text, known, "table")


def tickers(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Read a list of tickers, separated by commas, and put it into the order of `known`."""
    return _some_of(text.upper(), known, "ticker")


def ticker(text: str, known: Sequence[str]) -> str:
    """Read one ticker."""
    first, *more = tickers(text, known)
    if more:
        raise argparse.ArgumentTypeError(f"more than one ticker {_shown(text)}: expected one")
    return first


def date(text: str) -> dt.date:
    """Read a date, YYYY-MM-DD."""
    try:
        return dt.datetime.strptime(_ascii(text), "%Y-%m-%d").date()
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid date {_shown(text)}: expected YYYY-MM-DD") from None


def moment(text: str) -> dt.datetime:
    """Read a date or a time, in UTC where it names no zone."""
    try:
        moment = dt.datetime.fromisoformat(text)
        return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"invalid time {_shown(text)}: expected a time like 2024-05-10T21:30"
        ) from None


def topic_offsets(text: str) -> dict[str, object]:
    """Read an offset, or one for each of some partitions; the fields of a TopicStart."""
    if text.isascii() and text.isdecimal():
        return {"offset": int(text)}
    if not re.fullmatch(r"\d+:\d+(,\d+:\d+)*", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"invalid offset {_shown(text)}: expected 1200, or 0:1200,1:950")
    named = (part.split(":") for part in text.split(","))
    return {"offsets": {int(partition): int(offset) for partition, offset in named}}


def topic_time(text: str) -> dict[str, object]:
    """Read the time from which on messages count; the field of a TopicStart."""
    return {"time": moment(text)}


def positive(text: str) -> int:
    """Read a whole number above 0."""
    if not text.isascii() or not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) < 1:
        raise argparse.ArgumentTypeError(f"invalid number {_shown(text)}: expected a whole number above 0")
    return int(text)


def whole(text: str) -> int:
    """Read a whole number; its range is that of the setting."""
    if not re.fullmatch("[+-]?[0-9]+", text):
        raise argparse.ArgumentTypeError(f"invalid number {_shown(text)}: expected a whole number")
    return int(text)


def number(text: str) -> float:
    """Read a number; its range is that of the setting."""
    try:
        return float(_ascii(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid number {_shown(text)}: expected a number") from None


def minutes(text: str) -> float:
    """Read minutes, at most a day."""
    try:
        number = float(_ascii(text))
    except ValueError:
        number = -1.0
    if not 0 <= number <= _MINUTES_OF_A_DAY:
        raise argparse.ArgumentTypeError(f"invalid number of minutes {_shown(text)}: expected 0 to {_MINUTES_OF_A_DAY}")
    return number


def _ascii(text: str) -> str:
    """Python reads the digits of all scripts, and 1_000.

    Raises: ValueError: the text has another character than ASCII, or an underscore.
    """
    if not text.isascii() or "_" in text:
        raise ValueError(text)
    return text


def _some_of(text: str, known: Sequence[str], what: str) -> tuple[str, ...]:
    named = {part.strip() for part in text.split(",")}
    unknown = sorted(named - set(known))
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown {what} {_shown(', '.join(unknown))}: choose from {', '.join(known)}")
    return tuple(name for name in known if name in named)


def _shown(text: str) -> str:
    """Quote what a user gave, on one line and cut short."""
    return repr(text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}...")
