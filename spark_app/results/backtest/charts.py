"""The charts as SVG without text: their labels are HTML beside them, so that they are as legible on a phone."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

_WIDTH, _HEIGHT = 1000.0, 300.0
_BUCKETS = 400
"""Parts of the time whose lowest and highest value are drawn: about a pixel each."""
_MOST_TICKS, _FEWEST_YEARS, _MOST_YEARS = 7, 4, 14
_MANTISSAS = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,))


@dataclass(frozen=True)
class Tick:
    """A label of an axis; `place` is in percent of its length, from the top or the left."""

    label: str
    place: float


@dataclass(frozen=True)
class Chart:
    """A drawing and the labels of its axes."""

    svg: Markup
    values: tuple[Tick, ...]
    years: tuple[Tick, ...]


def equity_chart(sessions: Sequence[dt.date], courses: Mapping[str, Sequence[float]], said: str) -> Chart:
    """Draw values on a logarithmic scale; `said` is what the drawing is to those who do not see it."""
    lowest, highest = _limits(courses)
    if highest / lowest < 1.02:
        lowest, highest = lowest * 0.99, highest * 1.01
    low, high = math.log(lowest), math.log(highest)
    return _chart(sessions, courses, log_ticks(lowest, highest), lambda v: (high - math.log(v)) / (high - low), said)


def drawdown_chart(sessions: Sequence[dt.date], courses: Mapping[str, Sequence[float]], said: str) -> Chart:
    """Draw drawdowns in percent, 0 at the top."""
    lowest = min(_limits(courses)[0], -1.0)
    return _chart(sessions, courses, linear_ticks(lowest, 0.0), lambda v: v / lowest, said)


def log_ticks(lowest: float, highest: float) -> list[float]:
    """Round values between two positive ones, as many as there is room for."""
    if highest / lowest < 2:
        return linear_ticks(lowest, highest)
    decades = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
    for mantissas in _MANTISSAS:
        ticks = [m * 10.0**d for d in decades for m in mantissas if lowest <= m * 10.0**d <= highest]
        if len(ticks) <= _MOST_TICKS:
            return ticks
    return ticks[:: math.ceil(len(ticks) / _MOST_TICKS)]


def linear_ticks(lowest: float, highest: float) -> list[float]:
    """Multiples of a round step between two values."""
    least = (highest - lowest) / _MOST_TICKS
    power = 10.0 ** math.floor(math.log10(least))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= least)
    return [n * step for n in range(math.ceil(lowest / step - 1e-9), math.floor(highest / step + 1e-9) + 1)]


def _limits(courses: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    values = [value for course in courses.values() for value in course]
    return min(values), max(values)


def _chart(
    sessions: Sequence[dt.date],
    courses: Mapping[str, Sequence[float]],
    ticks: Sequence[float],
    place: Callable[[float], float],
    said: str,
) -> Chart:
    years = _year_ticks(sessions)
    grid = Markup("").join(
        Markup('<line x1="0" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>').format(_WIDTH, y=place(tick) * _HEIGHT + 0.0)
        for tick in ticks
    ) + Markup("").join(
        Markup('<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{}"/>').format(_HEIGHT, x=tick.place / 100 * _WIDTH)
        for tick in years
    )
    # The first portfolio is drawn last, over the others.
    lines = Markup("").join(
        Markup('<path class="{}" d="{}"/>').format(series, _path(course, place))
        for series, course in reversed(list(courses.items()))
    )
    svg = Markup(
        '<svg viewBox="0 0 {:.0f} {:.0f}" preserveAspectRatio="none" role="img" aria-label="{}"><g>{}</g>{}</svg>'
    ).format(_WIDTH, _HEIGHT, said, grid, lines)
    values = tuple(Tick(f"{tick:.10g}".replace("-", "−"), place(tick) * 100) for tick in ticks)
    return Chart(svg, values, years)


def _year_ticks(sessions: Sequence[dt.date]) -> tuple[Tick, ...]:
    """The first sessions of years, or of months where there are few years."""
    begins, form = [n for n in range(1, len(sessions)) if sessions[n].year != sessions[n - 1].year], "%Y"
    if len(begins) < _FEWEST_YEARS:
        begins, form = [n for n in range(1, len(sessions)) if sessions[n].month != sessions[n - 1].month], "%b %Y"
    every = math.ceil(len(begins) / _MOST_YEARS) or 1
    last = max(len(sessions) - 1, 1)
    return tuple(Tick(sessions[n].strftime(form), n / last * 100) for n in begins[::every])


def _path(course: Sequence[float], place: Callable[[float], float]) -> str:
    step = _WIDTH / max(len(course) - 1, 1)
    # A zero that is added makes a negative one positive.
    points = (f"{n * step:.1f} {place(course[n]) * _HEIGHT + 0.0:.1f}" for n in _shown(course))
    return "M" + "L".join(points)


def _shown(course: Sequence[float]) -> list[int]:
    """The places that are drawn: the first and the last, and the lowest and the highest of each part."""
    size = math.ceil(len(course) / _BUCKETS)
    shown = {0, len(course) - 1}
    for begin in range(0, len(course), size):
        part = range(begin, min(begin + size, len(course)))
        shown |= {min(part, key=course.__getitem__), max(part, key=course.__getitem__)}
    return sorted(shown)
