"""From facts to the HTML of the page: everything is escaped, and nothing is loaded from elsewhere."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

import pandas as pd

from spark_app import __version__
from spark_app.config.installation import LAUNCHER, source_option
from spark_app.results.page import strength as figures
from spark_app.results.page.drawing import rotation_plot, shared_lines, strength_panels
from spark_app.results.page.facts import Facts
from spark_app.results.page.writing import SYNTHETIC, page_environment, style_of
from spark_app.universe import BENCHMARK, PERIODS, SECTOR_NAMES

SHOWN_POSITIONS = 12
"""Lines of the portfolio on the first screen, as many as the sectors and the benchmark have."""
_FILLING_FROM = {
    "real": "with 12 requests",
    "synthetic": "without a request",
    "files": "from the imported files",
}
"""How a job gets the prices of a year, by the kind of data."""
_STEPS = (Decimal("0.5"), Decimal("1.5"), Decimal(3))
"""Percentage points over the benchmark from which a cell has the next shade."""


def render_page(facts: Facts) -> str:
    """Return the page as one HTML document."""
    ratio = figures.ratios(facts.prices, facts.sessions)
    strength = figures.relative_strength(ratio)
    rotations = sorted(figures.rotations(ratio), key=lambda rotation: -rotation.points[-1][1])
    shown = SHOWN_POSITIONS if len(facts.positions) <= SHOWN_POSITIONS else SHOWN_POSITIONS - 1
    mark = SYNTHETIC if facts.is_synthetic else ""
    environment = page_environment()
    environment.filters["shade"] = shade
    return environment.get_template("page.html.jinja").render(
        facts=facts,
        periods=PERIODS,
        benchmark=BENCHMARK,
        names=SECTOR_NAMES,
        mark=mark,
        style=style_of("page.css"),
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
        computing=_command(facts, "daily_pipeline"),
        filling=_command(facts, f"backfill_etf_benchmarks --days {len(facts.sessions)}"),
        filling_from=_FILLING_FROM[facts.origin or "real"],
        version=__version__,
    )


def _command(facts: Facts, job: str) -> str:
    """The command of a job for the session of the page; without a date a job works for the last completed one."""
    date = f" --as-of {facts.as_of}" if facts.as_of != facts.last_completed else ""
    return f"{LAUNCHER} {job}{date}{source_option(facts.origin)}"


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


def shade(excess: Decimal | None) -> str:
    """The class of a cell of the heat table, by its distance from the benchmark."""
    if excess is None:
        return "none"
    step = sum(abs(excess) >= limit for limit in _STEPS)
    return f"{'up' if excess > 0 else 'down'}{step}" if step else "level"
