"""The probe: signals up to a date must be the same with everything after it removed, and with noise in its place."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import Schedule
from spark_app.backtest.signals.compute import Signals, signals
from spark_app.backtest.signals.facts import Facts
from spark_app.errors import SparkAppError

Compute = Callable[[Plan, Schedule, Facts], Signals]
_SEED = 15


@dataclass(frozen=True)
class Probe:
    """How many signals up to a date were compared, and were the same."""

    cut_date: dt.date
    signals: int


def probe(plan: Plan, schedule: Schedule, facts: Facts, known: Signals, compute: Compute = signals) -> Probe:
    """Compute the signals of the first half again from facts without a future, and from facts with another one.

    Args:
        known: the signals of all facts.
        compute: what computed them.
    Raises: SparkAppError: a signal differs, so it looks ahead.
    """
    cut = schedule.rebalances[len(schedule.rebalances) // 2]
    until = replace(schedule, rebalances=tuple(date for date in schedule.rebalances if date <= cut))
    targets = {date: weights for date, weights in known.targets.items() if date <= cut}
    changes = {"removed": facts.without_future(cut), "replaced by noise": facts.with_another_future(cut, _SEED)}
    for what, changed in changes.items():
        _require_same(targets, compute(plan, until, changed).targets, cut, what)
    return Probe(cut, len(targets))


def _require_same(
    known: Mapping[dt.date, Mapping[str, float]],
    found: Mapping[dt.date, Mapping[str, float]],
    cut: dt.date,
    what: str,
) -> None:
    differing = sorted(date for date in known.keys() | found.keys() if known.get(date) != found.get(date))
    if differing:
        raise SparkAppError(
            f"the signals look ahead: with what is dated after {cut} {what}, {len(differing)} of {len(known)} differ,"
            f" the first of them on {differing[0]}: report it"
        )
