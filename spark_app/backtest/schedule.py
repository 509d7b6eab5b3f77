"""The sessions of a backtest, and those on which it rebalances: period ends of the calendar."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from spark_app import market_calendar
from spark_app.backtest.plan import Plan, Rebalance
from spark_app.errors import UsageError
from spark_app.transforms.rotation import VOLATILITY_SESSIONS
from spark_app.universe import PERIODS

_LONGEST_CLOSURE = dt.timedelta(days=30)


@dataclass(frozen=True)
class Schedule:
    """The sessions of a backtest.

    Attributes:
        warm_up: the sessions that the returns of the first signal need, before `sessions`; fewer where the calendar
            begins.
        sessions: from the one before the first day asked for, where the value is 1, to the last.
        rebalances: the sessions of signals.
        following: the session after the last one, None where none is known.
    """

    warm_up: tuple[dt.date, ...]
    sessions: tuple[dt.date, ...]
    rebalances: tuple[dt.date, ...]
    following: dt.date | None = None

    @property
    def all_sessions(self) -> tuple[dt.date, ...]:
        """Those of the warm-up and of the backtest."""
        return self.warm_up + self.sessions


def warm_up_sessions(plan: Plan) -> int:
    """The sessions before a signal that it looks at."""
    volatility = VOLATILITY_SESSIONS if plan.weighting == "inverse_volatility" else 0
    grid = max(PERIODS) if plan.has_grid else 0
    return max(*plan.choice.periods, volatility, grid)


def make_schedule(plan: Plan, known: Sequence[dt.date]) -> Schedule:
    """Lay out the sessions of a plan.

    Args:
        known: all sessions, in order, also those before and after the plan.
    Raises: UsageError: there is no session between its days, or none before them.
    """
    inside = [n for n, day in enumerate(known) if plan.first <= day <= plan.last]
    if not inside:
        raise UsageError(f"no session from {plan.first} to {plan.last}: use an earlier --from or a later --to")
    start, end = inside[0] - 1, inside[-1]
    if start < 0:
        raise UsageError(f"no session before {known[0]}, the first that is known: use a later --from")
    sessions = known[start : end + 1]
    following = known[end + 1] if end + 1 < len(known) else None
    warm_up = known[max(0, start - warm_up_sessions(plan)) : start]
    rebalances = rebalance_dates(sessions, plan.rebalance, following)
    return Schedule(tuple(warm_up), tuple(sessions), rebalances, following)


def calendar_sessions(plan: Plan) -> list[dt.date]:
    """The sessions of the exchange around a plan: with those before it, and the one after it."""
    before = market_calendar.sessions_ending(plan.first - dt.timedelta(days=1), warm_up_sessions(plan) + 1)
    return before + market_calendar.sessions_between(plan.first, plan.last + _LONGEST_CLOSURE)


def rebalance_dates(
    sessions: Sequence[dt.date], rebalance: Rebalance, following: dt.date | None = None
) -> tuple[dt.date, ...]:
    """The first session, and the last one of each week or month, or each of them.

    Args:
        following: the session after the last one, None where there is none: then the last one ends its period.
    """
    ends = [
        session
        for session, after in zip(sessions, [*sessions[1:], following], strict=True)
        if after is None or _period(session, rebalance) != _period(after, rebalance)
    ]
    return tuple(sorted({sessions[0], *ends}))


def _period(day: dt.date, rebalance: Rebalance) -> tuple[int, ...]:
    match rebalance:
        case "daily":
            return (day.toordinal(),)
        case "weekly":
            return day.isocalendar()[:2]
        case "monthly":
            return day.year, day.month
