"""The probe finds a signal that looks ahead, and nothing in one that does not."""

from __future__ import annotations

import datetime as dt

import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import Schedule
from spark_app.backtest.signals.compute import Signals
from spark_app.backtest.signals.facts import Facts
from spark_app.backtest.signals.probe import probe
from spark_app.errors import SparkAppError
from tests.transforms.frames import frame, session

DAYS = tuple(session(n) for n in range(6))
SCHEDULE = Schedule((), DAYS, DAYS)
PLAN = Plan(DAYS[0], DAYS[-1])


@pytest.fixture(scope="module")
def bars(spark: SparkSession) -> DataFrame:
    rows = [(ticker, day, float(price)) for ticker in "AB" for price, day in enumerate(DAYS, start=10)]
    return frame(spark, rows, "ticker string, trade_date date, adj_close_price double")


def _signals(schedule: Schedule, bars: DataFrame, ahead: int) -> Signals:
    """All of A where its price `ahead` sessions later is known and even."""
    prices = {row["trade_date"]: row["adj_close_price"] for row in bars.where("ticker = 'A'").collect()}
    targets: dict[dt.date, dict[str, float]] = {}
    for date in schedule.rebalances:
        place = DAYS.index(date) + ahead
        price = prices.get(DAYS[place]) if place < len(DAYS) else None
        targets[date] = {"A": 1.0} if price is not None and price % 2 == 0 else {}
    return Signals(targets)


def test_signals_of_the_past_pass(bars: DataFrame) -> None:
    found = probe(PLAN, SCHEDULE, Facts(bars), _signals(SCHEDULE, bars, 0), lambda _, s, f: _signals(s, f.bars, 0))
    assert (found.cut_date, found.signals) == (DAYS[3], 4)


def test_a_signal_that_looks_one_session_ahead_is_found(bars: DataFrame) -> None:
    whole = _signals(SCHEDULE, bars, 1)
    with pytest.raises(
        SparkAppError,
        match=f"with what is dated after {DAYS[3]} removed, 1 of 4 differ, the first of them on {DAYS[3]}",
    ):
        probe(PLAN, SCHEDULE, Facts(bars), whole, lambda _, s, f: _signals(s, f.bars, 1))
