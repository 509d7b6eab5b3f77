"""Dates in settings: of TOML, or texts as YYYY-MM-DD."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode


def _read_dates(value: object) -> object:
    """Take a list of dates, or a text with commas between them, as the environment has it."""
    days = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(days, list | tuple):
        raise ValueError("expected dates as YYYY-MM-DD")
    return tuple(sorted({_read_date(day, "dates") for day in days}))


def _read_date(value: object, expected: str = "a date") -> dt.date:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    try:
        return dt.datetime.strptime(value if isinstance(value, str) else "", "%Y-%m-%d").date()
    except ValueError:
        raise ValueError(f"expected {expected} as YYYY-MM-DD") from None


Date = Annotated[dt.date, BeforeValidator(_read_date)]
Dates = Annotated[tuple[dt.date, ...], NoDecode, BeforeValidator(_read_dates)]
