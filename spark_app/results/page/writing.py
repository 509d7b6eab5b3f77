"""What the pages have in common: their environment of jinja2, and how numbers, dates and names are written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from spark_app.text_table import printable

SYNTHETIC = "SYNTHETIC DATA"
MINUS, NONE = "−", "n/a"


def page_environment(folder: str = __package__) -> jinja2.Environment:
    """Make an environment whose templates are files of a package, else of this one; what they show is escaped."""

    def source_of(name: str) -> str:
        own = resources.files(folder) / name
        return (own if own.is_file() else resources.files(__package__) / name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(source_of),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        written.__name__: written
        for written in (signed, percent, number, billions, index, day, long_day, time, words, plain, inputs, settings)
    }
    return environment


def style_of(*names: str, folder: str = __package__) -> Markup:
    """The style of a page: files of a package."""
    texts = [(resources.files(folder) / name).read_text(encoding="utf-8") for name in names]
    return Markup("\n".join(texts))  # noqa: S704 -- our own files


def to_digits(value: Any, digits: int) -> Decimal:
    """Round as PostgreSQL does: a half away from zero."""
    return Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


def signed(value: Any, digits: int = 2) -> str:
    """Write a number with its sign, with the minus of typography; n/a for none."""
    if value is None:
        return NONE
    rounded = to_digits(value, digits)
    if not rounded:
        return f"{abs(rounded):.{digits}f}"
    return f"{'+' if rounded > 0 else MINUS}{abs(rounded):,.{digits}f}"


def percent(fraction: Any, digits: int = 2) -> str:
    """Write a fraction as a percentage, without the sign of percent."""
    return NONE if fraction is None else f"{to_digits(Decimal(fraction) * 100, digits):,.{digits}f}".replace("-", MINUS)


def number(value: int | None) -> str:
    return NONE if value is None else f"{value:,}"


def billions(value: int) -> str:
    return f"{to_digits(Decimal(value) / 10**9, 1):,.1f}"


def index(value: float | None) -> str:
    return NONE if value is None else f"{to_digits(value, 1):,.1f}"


def day(date: dt.date | None) -> str:
    return NONE if date is None else f"{date.day} {date:%b %Y}"


def long_day(date: dt.date) -> str:
    return f"{date:%A}, {date.day} {date:%B %Y}"


def time(moment: dt.datetime | None) -> str:
    return NONE if moment is None else f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M}"


def words(name: str) -> str:
    """A name of code as words: not_trending -> not trending."""
    return name.replace("_", " ")


def plain(text: str | None, longest: int = 400) -> str:
    """A text from outside: without control characters, cut where it is very long."""
    text = printable(text or "")
    return text if len(text) <= longest else f"{text[:longest]}…"


def inputs(read: Mapping[str, Any]) -> str:
    """What a run read, in words: versions of staging tables, dates of holdings and quotes."""
    versions = [f"{table} {version}" for table, version in sorted(dict(read.get("staging_versions") or {}).items())]
    holdings = sorted(set(dict(read.get("holdings_dates") or {}).values()))
    quotes = sorted({date for date in dict(read.get("quote_dates") or {}).values() if date})
    parts = (("staging", ", ".join(versions)), ("holdings of", _span(holdings)), ("quotes of", _span(quotes)))
    return "; ".join(f"{name} {value}" for name, value in parts if value)


def settings(sections: Mapping[str, Any]) -> str:
    """Settings as in the environment's names, one after the other."""
    named = [(f"{section}.{key}", value) for section, keys in sections.items() for key, value in dict(keys).items()]
    return ", ".join(f"{name} = {'unset' if value is None else value}" for name, value in sorted(named))


def _span(dates: Sequence[str]) -> str:
    return "" if not dates else dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
