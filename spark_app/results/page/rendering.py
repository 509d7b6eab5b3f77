"""From facts to the HTML of the page: everything is escaped, and nothing is loaded from elsewhere."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from importlib import resources
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from spark_app import __version__
from spark_app.config.installation import LAUNCHER
from spark_app.results.page import strength as figures
from spark_app.results.page.drawing import rotation_plot, shared_lines, strength_panels
from spark_app.results.page.facts import Facts
from spark_app.text_table import printable
from spark_app.universe import BENCHMARK, PERIODS, SECTOR_NAMES

SHOWN_POSITIONS = 12
"""Lines of the portfolio on the first screen, as many as the sectors and the benchmark have."""
_MINUS, _NONE = "−", "n/a"
_STEPS = (Decimal("0.5"), Decimal("1.5"), Decimal(3))
"""Percentage points over the benchmark from which a cell has the next shade."""
_SYNTHETIC = "SYNTHETIC DATA"


def render_page(facts: Facts) -> str:
    """Return the page as one HTML document."""
    ratio = figures.ratios(facts.prices, facts.sessions)
    strength = figures.relative_strength(ratio)
    rotations = sorted(figures.rotations(ratio), key=lambda rotation: -rotation.points[-1][1])
    shown = SHOWN_POSITIONS if len(facts.positions) <= SHOWN_POSITIONS else SHOWN_POSITIONS - 1
    mark = _SYNTHETIC if facts.is_synthetic else ""
    template = _environment().get_template("page.html.jinja")
    return template.render(
        facts=facts,
        periods=PERIODS,
        benchmark=BENCHMARK,
        names=SECTOR_NAMES,
        mark=mark,
        style=Markup(_resource("page.css")),  # noqa: S704 -- our own file
        shown=facts.positions[:shown],
        hidden=facts.positions[shown:],
        served_sessions=int(strength.notna().any(axis=1).sum()) if len(strength.columns) else 0,
        lines=shared_lines(strength) if len(strength.columns) else "",
        panels=strength_panels(strength, SECTOR_NAMES) if len(strength.columns) else [],
        weeks=_by_week(strength),
        rotations=rotations,
        tails=_tails(rotations),
        rotation_plot=rotation_plot(rotations, SECTOR_NAMES, mark) if rotations else "",
        figures=figures,
        steps=_STEPS,
        launcher=LAUNCHER,
        version=__version__,
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_resource),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "signed": signed,
        "percent": percent,
        "number": number,
        "billions": billions,
        "index": index,
        "shade": shade,
        "day": day,
        "long_day": long_day,
        "time": time,
        "words": words,
        "plain": plain,
        "inputs": inputs,
        "settings": settings,
    }
    return environment


def _resource(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _by_week(strength: pd.DataFrame) -> list[tuple[dt.date, list[float | None]]]:
    """The newest session and every fifth before it, the newest first."""
    rows = strength[::-5]
    return [
        (session, [None if pd.isna(v) else float(v) for v in values]) for session, *values in rows.itertuples(name=None)
    ]


def _tails(rotations: Sequence[figures.Rotation]) -> list[tuple[dt.date, list[float | None]]]:
    """Each session of the tails, the newest first, with x and y of each fund; None before its tail begins."""
    longest = max((rotation.points for rotation in rotations), key=len, default=())
    places = [{session: (x, y) for session, x, y in rotation.points} for rotation in rotations]
    sessions = [session for session, *_ in reversed(longest)]
    return [
        (session, [value for found in places for value in found.get(session, (None, None))]) for session in sessions
    ]


def _rounded(value: Any, digits: int) -> Decimal:
    """Round as PostgreSQL does: a half away from zero."""
    return Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


def signed(value: Any, digits: int = 2) -> str:
    """Write a number with its sign, with the minus of typography; n/a for none."""
    if value is None:
        return _NONE
    rounded = _rounded(value, digits)
    if not rounded:
        return f"{abs(rounded):.{digits}f}"
    return f"{'+' if rounded > 0 else _MINUS}{abs(rounded):,.{digits}f}"


def percent(fraction: Any, digits: int = 2) -> str:
    """Write a fraction as a percentage, without the sign of percent."""
    return (
        _NONE if fraction is None else f"{_rounded(Decimal(fraction) * 100, digits):,.{digits}f}".replace("-", _MINUS)
    )


def number(value: int | None) -> str:
    return _NONE if value is None else f"{value:,}"


def billions(value: int) -> str:
    return f"{_rounded(Decimal(value) / 10**9, 1):,.1f}"


def index(value: float | None) -> str:
    return _NONE if value is None else f"{_rounded(value, 1):,.1f}"


def shade(excess: Decimal | None) -> str:
    """The class of a cell of the heat table, by its distance from the benchmark."""
    if excess is None:
        return "none"
    step = sum(abs(excess) >= limit for limit in _STEPS)
    return f"{'up' if excess > 0 else 'down'}{step}" if step else "level"


def day(date: dt.date | None) -> str:
    return _NONE if date is None else f"{date.day} {date:%b %Y}"


def long_day(date: dt.date) -> str:
    return f"{date:%A}, {date.day} {date:%B %Y}"


def time(moment: dt.datetime | None) -> str:
    return _NONE if moment is None else f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M}"


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
