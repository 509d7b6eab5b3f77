"""Where the strategy did not do what was asked is said, and for what reason."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from spark_app.backtest.engine import Numbers, Prices, simulate
from spark_app.backtest.outcome import STRATEGY, Outcome
from spark_app.backtest.output.report import describe_gaps
from spark_app.backtest.plan import Level, Plan
from spark_app.backtest.schedule import Schedule
from spark_app.backtest.signals.compute import Signals, numbered_targets
from spark_app.transforms.rotation import SectorChoice
from spark_app.universe import Universe

NAN = float("nan")
DAYS = (dt.date(2020, 1, 2), dt.date(2020, 1, 3), dt.date(2020, 1, 6), dt.date(2020, 1, 7))
PLAN = Plan(DAYS[1], DAYS[3], Universe("SPY", {"XLK": "Technology", "XLC": "Services"}, {}))
SCHEDULE = Schedule((), DAYS, (DAYS[0], DAYS[2]))
PRICED = {"SPY": [1.0, 1, 1, 1], "XLC": [NAN, NAN, 1, 1], "XLK": [1.0, 1, 1, 1]}


def outcome_of(plan: Plan, closes: dict[str, list[float]], targets: dict[dt.date, dict[str, float]]) -> Outcome:
    columns: Numbers = np.array(list(closes.values())).T
    prices = Prices(DAYS, tuple(closes), columns, columns)
    path = simulate(prices, numbered_targets(prices, targets), plan.rules)
    return Outcome(plan, SCHEDULE, prices, Signals(targets), {STRATEGY: path})


def test_nothing_is_said_of_a_strategy_that_did_what_was_asked() -> None:
    # XLC has no price before it is listed: that is no gap.
    whole = outcome_of(PLAN, PRICED, {DAYS[0]: {"XLK": 1.0}, DAYS[2]: {"XLK": 1.0}})
    assert describe_gaps(whole) == []


@pytest.mark.parametrize(
    ("level", "is_trend_required", "why"),
    [
        ("sectors", True, "nothing trends"),
        ("sectors", False, "no position could be chosen"),
        ("stocks", True, "no position could be chosen"),
    ],
)
def test_cash_has_the_true_reason(level: Level, is_trend_required: bool, why: str) -> None:
    choice = SectorChoice(20, (20,), 2, is_trend_required=is_trend_required)
    idle = outcome_of(replace(PLAN, level=level, choice=choice), PRICED, {DAYS[0]: {"XLK": 1.0}, DAYS[2]: {}})
    assert describe_gaps(idle) == [f"all cash after 1 of 2 rebalances: {why}"]


def test_funds_whose_prices_end_are_named() -> None:
    ended = outcome_of(PLAN, {**PRICED, "XLK": [1.0, 1, NAN, NAN]}, {DAYS[0]: {"XLC": 0.0}})
    assert "prices that end before 2020-01-07: XLK 2020-01-03" in describe_gaps(ended)


def test_what_could_not_be_bought_is_named() -> None:
    halves = {"XLC": 0.5, "XLK": 0.5}
    missed = outcome_of(PLAN, PRICED, {DAYS[0]: halves, DAYS[2]: halves})
    assert describe_gaps(missed) == ["1 purchases not made, for want of a price at the trade: XLC"]


def test_what_is_valued_at_an_old_close_is_counted() -> None:
    # Bought on the second session and held to the end, without a close of the last two.
    all_gone = {date: {"GONE": 1.0} for date in SCHEDULE.rebalances}
    held = outcome_of(PLAN, {"GONE": [1.0, 1, NAN, NAN], **PRICED}, all_gone)
    said = "2 of 3 position-days valued at an earlier close, for want of a newer one: GONE"
    assert describe_gaps(held) == [said]
