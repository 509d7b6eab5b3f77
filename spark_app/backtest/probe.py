"""The probe: signals up to a date must be the same with everything after it removed, and with noise in its place."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import Schedule
from spark_app.backtest.signals import Signals
from spark_app.errors import SparkAppError

Compute = Callable[[Plan, Schedule, DataFrame], Signals]
_SEED = 15
_PRICES = ("open_price", "close_price", "adj_close_price")


@dataclass(frozen=True)
class Probe:
    """How many signals up to a date were compared, and were the same."""

    cut_date: dt.date
    signals: int


def probe(plan: Plan, schedule: Schedule, bars: DataFrame, signals: Signals, compute: Compute) -> Probe:
    """Compute the signals of the first half again from bars without a future, and from bars with another one.

    Args: compute: what computed `signals` from `bars`.
    Raises: SparkAppError: a signal differs, so it looks ahead.
    """
    cut = schedule.rebalances[len(schedule.rebalances) // 2]
    until = replace(schedule, rebalances=tuple(date for date in schedule.rebalances if date <= cut))
    known = {date: weights for date, weights in signals.targets.items() if date <= cut}
    is_later = F.col("trade_date") > cut
    # Between a half and one and a half of each price: another market.
    noise = {
        name: F.when(is_later, F.col(name) * (F.rand(_SEED) + 0.5)).otherwise(F.col(name))
        for name in _PRICES
        if name in bars.columns
    }
    for what, changed in (("removed", bars.where(~is_later)), ("replaced by noise", bars.withColumns(noise))):
        _require_same(known, compute(plan, until, changed).targets, cut, what)
    return Probe(cut, len(known))


def _require_same(
    known: Mapping[dt.date, Mapping[str, float]],
    found: Mapping[dt.date, Mapping[str, float]],
    cut: dt.date,
    what: str,
) -> None:
    differing = sorted(date for date in known.keys() | found.keys() if known.get(date) != found.get(date))
    if differing:
        raise SparkAppError(
            f"the signals look ahead: with prices after {cut} {what}, {len(differing)} of {len(known)} differ,"
            f" the first of them on {differing[0]}: report it"
        )
