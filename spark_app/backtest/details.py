"""What a backtest shows beside its statistics: other costs, other moments, the years, how sure a difference is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spark_app.backtest.bootstrap import SharpeDifference, sharpe_difference
from spark_app.backtest.ledger import Entry, work_out_ledger
from spark_app.backtest.outcome import (
    BENCHMARK,
    COSTS_BPS,
    EQUAL_WEIGHT,
    SERIES,
    STRATEGY,
    Lag,
    Outcome,
    cagr_at,
    lags,
    yearly,
)


@dataclass(frozen=True)
class Details:
    """Figures are fractions.

    Attributes:
        costs: the yearly growth of each portfolio at each cost of `COSTS_BPS`.
        years: the return of each calendar year, by portfolio.
        differences: the Sharpe ratio of the strategy minus that of each other portfolio.
        ledger: of stocks, what stands on facts dated later; empty of funds.
    """

    costs: Mapping[str, Sequence[float]]
    lags: Sequence[Lag]
    years: Mapping[str, Mapping[int, float]]
    differences: Mapping[str, SharpeDifference]
    ledger: Sequence[Entry]


def work_out_details(outcome: Outcome) -> Details:
    """Compute the details; the bootstrap takes about a second."""
    plan, paths = outcome.plan, outcome.paths
    periods = plan.universe.periods_a_year
    costs = {
        series: [cagr_at(paths[series], cost, paid_bps=plan.cost_bps, periods_a_year=periods) for cost in COSTS_BPS]
        for series in SERIES
    }
    ours = paths[STRATEGY].returns
    differences = {
        series: sharpe_difference(ours, paths[series].returns, periods) for series in (BENCHMARK, EQUAL_WEIGHT)
    }
    ledger = work_out_ledger(outcome.prices, outcome.signals, paths[STRATEGY])
    return Details(costs, lags(outcome), yearly(outcome), differences, ledger)
