"""The results of the benchmarks as a table: seconds depend on the machine, ratios hardly do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

WARM_UPS = 24
"""Runs of Spark before a warm measurement. Of 60 in a row the best of the 12th to the 17th took 2.8 s, of the 20th to
the 25th 2.4 s, and of the last ones as long: by then Java has compiled what runs often."""


@dataclass(frozen=True)
class Measurement:
    """One line of the report; `limit` is the promised maximum, None where nothing is promised."""

    what: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def is_kept(self) -> bool:
        return self.limit is None or self.value <= self.limit


def best_seconds(action: Callable[[], object], *, runs: int = 3) -> float:
    """Return the seconds of the shortest of several runs, the one that other work disturbed least."""
    return best_in_turns(action, rounds=runs)[0]


def best_in_turns(*actions: Callable[[], object], rounds: int = 5) -> list[float]:
    """Return the seconds of each action's shortest run; each round runs all of them, so that load affects all alike."""
    each_round = [[_seconds(action) for action in actions] for _ in range(rounds)]
    return [min(times) for times in zip(*each_round, strict=True)]


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def draw(measurements: list[Measurement]) -> str:
    """Draw the table, headed by the machine's cores."""
    width = max(len(m.what) for m in measurements)
    lines = [f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", ""]
    for m in measurements:
        limit = "" if m.limit is None else f"  at most {m.limit:g}{'' if m.is_kept else '  MISSED'}"
        lines.append(f"{m.what:<{width}}  {m.value:10.2f} {m.unit:<2}{limit}")
    return "\n".join(lines)
