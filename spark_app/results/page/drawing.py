"""The figures as SVG: text, lines and dots whose colours are those of the page's style."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from spark_app.results.page.strength import Rotation

_PANEL_WIDTH, _PANEL_HEIGHT, _PANEL_MARGIN = 240, 96, 30
_PLOT_WIDTH, _PLOT_HEIGHT, _PLOT_MARGIN = 640, 500, 30
_LABEL_HEIGHT, _LETTER_WIDTH, _DOT = 15, 9.5, 6
_SMALLEST_DOMAIN = 1.5


@dataclass(frozen=True)
class Panel:
    """The line of one fund: `latest` is None where it has no price on the last session."""

    ticker: str
    latest: float | None
    lowest: float
    highest: float
    svg: Markup


def shared_lines(strength: pd.DataFrame) -> Markup:
    """Define each fund's line once; every panel uses all of them."""
    scale = _panel_scale(strength)
    paths = [
        Markup('<path id="line-{}" d="{}"/>').format(ticker, _path(strength[ticker], scale)) for ticker in strength
    ]
    group = Markup("").join(Markup('<use href="#line-{}"/>').format(ticker) for ticker in strength)
    return Markup(
        '<svg class="shared" width="0" height="0" aria-hidden="true"><defs>{}<g id="lines">{}</g></defs></svg>'
    ).format(Markup("").join(paths), group)


def strength_panels(strength: pd.DataFrame, names: Mapping[str, str]) -> list[Panel]:
    """Draw a panel per fund, the strongest first; all have the same scale."""
    panels = [_panel(str(ticker), strength, names) for ticker in strength]
    return sorted(panels, key=lambda panel: (panel.latest is None, -(panel.latest or 0), panel.ticker))


def _panel(ticker: str, strength: pd.DataFrame, names: Mapping[str, str]) -> Panel:
    scale = _panel_scale(strength)
    values = strength[ticker].dropna()
    last = strength[ticker].iloc[-1]
    latest = None if pd.isna(last) else float(last)
    width = _PANEL_WIDTH - _PANEL_MARGIN
    grid = Markup("").join(
        Markup('<line class="{}" x1="0" x2="{}" y1="{y}" y2="{y}"/><text x="{}" y="{}">{}</text>').format(
            "base" if tick == 100 else "grid",
            width,
            _PANEL_WIDTH - 24,
            f"{scale(tick) + 4:.1f}",
            tick,
            y=f"{scale(tick):.1f}",
        )
        for tick in _ticks(strength)
    )
    dot = Markup("") if latest is None else Markup('<circle cx="{}" cy="{:.1f}" r="3.5"/>').format(width, scale(latest))
    said = "no price on the last session" if latest is None else f"{latest:.1f} on {strength.index[-1]}"
    svg = Markup(
        '<svg viewBox="0 0 {} {}" role="img" class="{}" aria-label="{}: {}; lowest {:.1f}, highest {:.1f}">'
        '{}<use class="others" href="#lines"/><use class="own" href="#line-{}"/>{}</svg>'
    ).format(
        *(_PANEL_WIDTH, _PANEL_HEIGHT, "ahead" if latest is not None and latest >= 100 else "behind"),
        *(names.get(ticker, ticker), said, values.min(), values.max(), grid, ticker, dot),
    )
    return Panel(ticker, latest, float(values.min()), float(values.max()), svg)


class _Scale:
    """From a value to a height, downwards."""

    def __init__(self, lowest: float, highest: float, height: float) -> None:
        self._highest, self._unit = highest, height / max(highest - lowest, 1e-9)

    def __call__(self, value: float) -> float:
        return 4 + (self._highest - value) * self._unit


def _panel_scale(strength: pd.DataFrame) -> _Scale:
    lowest, highest = _limits(strength)
    return _Scale(lowest, highest, _PANEL_HEIGHT - 8)


def _limits(strength: pd.DataFrame) -> tuple[float, float]:
    return min(99.0, float(strength.min().min())), max(101.0, float(strength.max().max()))


def _ticks(strength: pd.DataFrame) -> list[int]:
    """100 and round values on both sides, at most five."""
    lowest, highest = _limits(strength)
    step = next((s for s in (1, 2, 5, 10, 20, 50, 100) if highest - lowest <= 4.5 * s), 200)
    return list(range(100 - step * int((100 - lowest) // step), int(highest) + 1, step))


def _path(values: pd.Series, scale: _Scale) -> str:
    """The line through the values; a gap where one is missing."""
    step = (_PANEL_WIDTH - _PANEL_MARGIN) / max(len(values) - 1, 1)
    parts, pen = [], "M"
    for place, value in enumerate(values):
        if pd.isna(value):
            pen = "M"
            continue
        parts.append(f"{pen}{place * step:.1f} {scale(value):.1f}")
        pen = "L"
    return "".join(parts)


def rotation_plot(rotations: Sequence[Rotation], names: Mapping[str, str], mark: str) -> Markup:
    """Draw each fund where it is, with the way it came; `mark` is written across the figure."""
    largest = max((abs(v) for r in rotations for _, *point in r.points for v in point), default=0.0)
    domain = max(_SMALLEST_DOMAIN, math.ceil(largest * 1.12 * 2) / 2)
    middle_x, middle_y = _PLOT_WIDTH / 2, _PLOT_HEIGHT / 2
    unit_x, unit_y = (middle_x - _PLOT_MARGIN) / domain, (middle_y - _PLOT_MARGIN) / domain

    def place(point: tuple[object, float, float]) -> tuple[float, float]:
        return middle_x + point[1] * unit_x, middle_y - point[2] * unit_y

    tails = [(r, [place(point) for point in r.points]) for r in rotations]
    labels = _label_places([(r.ticker, way[-1]) for r, way in tails])
    summary = "; ".join(f"{names.get(r.ticker, r.ticker)} {r.quadrant}" for r in rotations)
    return Markup(
        '<svg viewBox="0 0 {w} {h}" role="img" class="rotation" aria-label="Relative rotation: {}">{}{}{}{}</svg>'
    ).format(
        *(summary, _frame(domain, unit_x, unit_y)),
        Markup('<text class="mark" x="{}" y="{}">{}</text>').format(middle_x, middle_y + 60, mark) if mark else "",
        Markup("").join(_tail(rotation, way) for rotation, way in tails),
        Markup("").join(
            Markup('<text class="label {}" x="{:.1f}" y="{:.1f}">{}</text>').format(
                r.quadrant, *labels[r.ticker], r.ticker
            )
            for r, _ in tails
        ),
        w=_PLOT_WIDTH,
        h=_PLOT_HEIGHT,
    )


def _frame(domain: float, unit_x: float, unit_y: float) -> Markup:
    """Quadrants, axes and their ticks."""
    w, h = _PLOT_WIDTH, _PLOT_HEIGHT
    corners = (
        *(("leading", w / 2, 0, w - 10, 22, "end"), ("weakening", w / 2, h / 2, w - 10, h - 12, "end")),
        *(("improving", 0, 0, 10, 22, "start"), ("lagging", 0, h / 2, 10, h - 12, "start")),
    )
    quadrants = Markup("").join(
        Markup(
            '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>'
            '<text class="corner {}" x="{}" y="{}" text-anchor="{}">{}</text>'
        ).format(name, x, y, w / 2, h / 2, name, text_x, text_y, anchor, name.capitalize())
        for name, x, y, text_x, text_y, anchor in corners
    )
    marks = [mark for mark in range(-int(domain), int(domain) + 1) if mark]
    ticks = Markup("").join(
        Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            w / 2 + m * unit_x, h / 2 + 16, _minus(m)
        )
        + Markup('<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
            w / 2 - 6, h / 2 - m * unit_y + 4, _minus(m)
        )
        for m in marks
    )
    axes = Markup(
        '<line class="axis" x1="0" x2="{w}" y1="{y}" y2="{y}"/><line class="axis" x1="{x}" x2="{x}" y1="0" y2="{h}"/>'
        '<text class="tick" x="{right}" y="{below}" text-anchor="end">strength x</text>'
        '<text class="tick" x="{beside}" y="14">momentum y</text>'
    ).format(w=w, h=h, x=w / 2, y=h / 2, right=w - 10, below=h / 2 - 6, beside=w / 2 + 8)
    return quadrants + axes + ticks


def _tail(rotation: Rotation, way: Sequence[tuple[float, float]]) -> Markup:
    past = Markup("").join(
        Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" opacity="{:.2f}"/>').format(
            *way[number - 1], *way[number], 0.2 + 0.6 * number / len(way)
        )
        for number in range(1, len(way))
    )
    x, y = way[-1]
    head = Markup('<circle class="head" cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(x, y, _DOT)
    return Markup('<g class="tail {}">{}{}</g>').format(rotation.quadrant, past, head)


def _label_places(heads: Sequence[tuple[str, tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    """Place each label beside its dot where no other label or dot is; the text begins at the place."""
    dots = [(x - _DOT, y - _DOT, x + _DOT, y + _DOT) for _, (x, y) in heads]
    taken: list[tuple[float, float, float, float]] = []
    places = {}
    for number, (text, (x, y)) in enumerate(heads):
        others = [*dots[:number], *dots[number + 1 :], *taken]
        boxes = list(_candidates(text, x, y))
        box = min(
            boxes, key=lambda candidate: (sum(_overlap(candidate, other) for other in others), boxes.index(candidate))
        )
        taken.append(box)
        places[text] = (box[0], box[3] - 3)
    return places


def _candidates(text: str, x: float, y: float) -> Iterator[tuple[float, float, float, float]]:
    width, height = _LETTER_WIDTH * len(text), _LABEL_HEIGHT
    for gap in (3, 14):
        for left, top in (
            *((x + _DOT + gap, y - height / 2), (x - _DOT - gap - width, y - height / 2)),
            *((x - width / 2, y - _DOT - gap - height), (x - width / 2, y + _DOT + gap)),
        ):
            left = min(max(left, 2), _PLOT_WIDTH - width - 2)
            top = min(max(top, 2), _PLOT_HEIGHT - height - 2)
            yield left, top, left + width, top + height


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)


def _minus(number: int) -> str:
    return str(number).replace("-", "−")
