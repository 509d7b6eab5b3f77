"""The grid: the same rotation over 5, 10 and 20 sessions, rebalanced daily, weekly and monthly, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from spark_app.backtest import statistics
from spark_app.backtest.engine import Numbers, Path, Prices, simulate
from spark_app.backtest.luck import deflated_sharpe_of_best, overfitting_probability
from spark_app.backtest.market import read_prices
from spark_app.backtest.plan import Plan, Rebalance
from spark_app.backtest.schedule import Schedule, rebalance_dates
from spark_app.backtest.signals.compute import numbered_targets, signals_of
from spark_app.backtest.signals.facts import Facts
from spark_app.universe import PERIODS

GRID_REBALANCES: tuple[Rebalance, ...] = get_args(Rebalance)


@dataclass(frozen=True)
class Cell:
    """One rule of the grid; `active_sharpe` is of the returns over the benchmark."""

    basis: int
    rebalance: Rebalance
    cagr: float
    sharpe: float
    active_sharpe: float
    yearly_turnover: float


@dataclass(frozen=True)
class Grid:
    """All rules, and how much of the best one may be luck (NaN where that is not defined)."""

    cells: tuple[Cell, ...]
    deflated_sharpe: float
    overfitting_probability: float


def work_out_grid(plan: Plan, schedule: Schedule, facts: Facts, prices: Prices) -> Grid:
    """Run the plan with each basis and rebalance, compared with a benchmark that is bought once, at the same cost.

    Args: prices: those of the plan's own backtest; read again where other rules hold other stocks.
    """
    choices = [replace(plan.choice, basis=basis, rank_periods=(basis,)) for basis in PERIODS]
    signals = signals_of(choices, schedule.sessions, plan, schedule, facts)
    held = {ticker for of_basis in signals for ticker in of_basis.tickers} | set(plan.universe.tickers)
    if not held <= set(prices.tickers):
        prices = read_prices(facts.bars, schedule.sessions, sorted(held))
    once = {0: np.array([float(ticker == plan.universe.benchmark) for ticker in prices.tickers])}
    benchmark = simulate(prices, once, plan.rules).returns
    paths: dict[tuple[int, Rebalance], Path] = {}
    for basis, of_basis in zip(PERIODS, signals, strict=True):
        for rebalance in GRID_REBALANCES:
            dates = set(rebalance_dates(schedule.sessions, rebalance, schedule.following))
            targets = {date: weights for date, weights in of_basis.targets.items() if date in dates}
            paths[basis, rebalance] = simulate(prices, numbered_targets(prices, targets), plan.rules)
    active = np.array([path.returns - benchmark for path in paths.values()]).T
    cells = tuple(_cell(plan, basis, rebalance, path, benchmark) for (basis, rebalance), path in paths.items())
    return Grid(cells, *_luck(active, cells))


def _luck(active: Numbers, cells: Sequence[Cell]) -> tuple[float, float]:
    if any(np.isnan(cell.active_sharpe) for cell in cells):
        return float("nan"), float("nan")
    return deflated_sharpe_of_best(active), overfitting_probability(active)


def _cell(plan: Plan, basis: int, rebalance: Rebalance, path: Path, benchmark: Numbers) -> Cell:
    returns, periods = path.returns, plan.universe.periods_a_year
    return Cell(
        basis,
        rebalance,
        cagr=statistics.cagr(returns, periods),
        sharpe=statistics.sharpe(returns, periods),
        active_sharpe=statistics.information_ratio(returns, benchmark, periods),
        yearly_turnover=sum(trade.turnover for trade in path.trades) * periods / len(returns),
    )
