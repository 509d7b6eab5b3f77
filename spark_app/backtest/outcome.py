"""What a backtest found: three portfolios over the same sessions, their statistics and what costs do to them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pyspark.sql import DataFrame

from spark_app.backtest import statistics
from spark_app.backtest.engine import Execution, Path, Prices, simulate
from spark_app.backtest.market import read_prices
from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import Schedule
from spark_app.backtest.signals.compute import Signals, equal_targets, numbered_targets
from spark_app.backtest.statistics import Drawdown
from spark_app.errors import UsageError

STRATEGY, EQUAL_WEIGHT, BENCHMARK = "strategy", "equal_weight", "benchmark"
SERIES = (STRATEGY, EQUAL_WEIGHT, BENCHMARK)
COSTS_BPS = (0.0, 5.0, 10.0, 20.0)
_DEAREST_BPS = 2000.0
_HALVINGS = 60


@dataclass(frozen=True, eq=False)
class Outcome:
    """The three portfolios; all trade on the same dates and pay the same costs."""

    plan: Plan
    schedule: Schedule
    prices: Prices
    signals: Signals
    paths: Mapping[str, Path]

    @property
    def skipped_dates(self) -> list[dt.date]:
        """The rebalances that were not made, because the benchmark had no return."""
        return [date for date in self.schedule.rebalances if date not in self.signals.targets]

    @property
    def price_ends(self) -> dict[str, dt.date]:
        """The sector funds whose prices end before the backtest does, each with its last session with a price."""
        sessions, ends = self.prices.sessions, {}
        for fund in self.plan.universe.sectors:
            priced = np.flatnonzero(~np.isnan(self.prices.closes[:, self.prices.tickers.index(fund)]))
            if len(priced) and priced[-1] < len(sessions) - 1:
                ends[fund] = sessions[priced[-1]]
        return ends

    @property
    def position_days_at_old_closes(self) -> dict[str, int]:
        """Ticker -> the number of sessions on which the strategy held it without a close, valued at the last one."""
        without_close = (self.paths[STRATEGY].weights > 0) & np.isnan(self.prices.closes)
        counted = zip(self.prices.tickers, without_close.sum(axis=0), strict=True)
        return {ticker: int(days) for ticker, days in counted if days}


@dataclass(frozen=True)
class Lag:
    """The strategy if it had traded at another moment; both figures are fractions, or NaN."""

    moment: str
    cagr: float
    sharpe: float


@dataclass(frozen=True)
class Summary:
    """The statistics of one portfolio, as fractions; NaN where one is not defined."""

    series: str
    final_value: float
    cagr: float
    volatility: float
    sharpe: float
    sortino: float
    drawdown: Drawdown
    beta: float
    alpha: float
    information_ratio: float
    value_at_risk: float
    conditional_value_at_risk: float
    hit_rate: float
    yearly_turnover: float


def work_out(plan: Plan, schedule: Schedule, bars: DataFrame, signals: Signals) -> Outcome:
    """Run the three portfolios through the engine.

    Columns in: `bars` has ticker, trade_date, adj_close_price; open_price and close_price where there are opens.
    Raises: UsageError: an open is wanted, and there is none.
    """
    universe = plan.universe
    tickers = sorted({*universe.tickers, *signals.tickers})
    prices = read_prices(bars, schedule.sessions, tickers)
    if prices.opens is None and plan.execution == "next_open":
        raise UsageError("--execution next_open needs opens, and these prices have closes only: use next_close")
    dates = sorted(signals.targets)
    targets = {
        STRATEGY: numbered_targets(prices, signals.targets),
        EQUAL_WEIGHT: equal_targets(prices, dates, list(universe.sectors)),
        BENCHMARK: numbered_targets(prices, {date: {universe.benchmark: 1.0} for date in dates}),
    }
    paths = {series: simulate(prices, targets[series], plan.rules) for series in SERIES}
    return Outcome(plan, schedule, prices, signals, paths)


def lags(outcome: Outcome) -> list[Lag]:
    """Trade the same targets earlier and later: a rule whose gain lives in the first hours does not survive it."""
    plan, prices = outcome.plan, outcome.prices
    targets = numbered_targets(prices, outcome.signals.targets)
    moments: list[tuple[str, Execution, int]] = [("same close (unattainable)", "same_close", 0)]
    if prices.opens is not None:
        moments += [("next open", "next_open", 0), ("open after the next", "next_open", 1)]
    moments += [("next close", "next_close", 0), ("close after the next", "next_close", 1)]
    found = []
    for moment, execution, delay in moments:
        path = simulate(prices, targets, replace(plan.rules, execution=execution, delay=delay))
        periods = plan.universe.periods_a_year
        cagr, sharpe = statistics.cagr(path.returns, periods), statistics.sharpe(path.returns, periods)
        found.append(Lag(moment, cagr, sharpe))
    return found


def summarise(outcome: Outcome) -> list[Summary]:
    """Work out the statistics of each portfolio."""
    benchmark = outcome.paths[BENCHMARK].returns
    return [_summary(outcome, series, outcome.paths[series], benchmark) for series in SERIES]


def _summary(outcome: Outcome, series: str, path: Path, benchmark: np.ndarray) -> Summary:
    returns, periods = path.returns, outcome.plan.universe.periods_a_year
    return Summary(
        series=series,
        final_value=float(path.values[-1]),
        cagr=statistics.cagr(returns, periods),
        volatility=statistics.volatility(returns, periods),
        sharpe=statistics.sharpe(returns, periods),
        sortino=statistics.sortino(returns, periods),
        drawdown=statistics.max_drawdown(returns, outcome.schedule.sessions),
        beta=statistics.beta(returns, benchmark),
        alpha=statistics.alpha(returns, benchmark, periods),
        information_ratio=statistics.information_ratio(returns, benchmark, periods),
        value_at_risk=statistics.value_at_risk(returns),
        conditional_value_at_risk=statistics.conditional_value_at_risk(returns),
        hit_rate=statistics.hit_rate(returns),
        yearly_turnover=sum(trade.turnover for trade in path.trades) * periods / max(len(returns), 1),
    )


def cagr_at(path: Path, cost_bps: float, *, paid_bps: float, periods_a_year: int) -> float:
    """The yearly growth of the same portfolio at another cost.

    Costs shrink a portfolio and change no weight, so each trade is one factor.
    """
    sessions = len(path.values) - 1
    growth = math.log(path.values[-1]) + _shrinkage(path, cost_bps) - _shrinkage(path, paid_bps)
    return math.expm1(growth * periods_a_year / sessions)


def break_even_bps(path: Path, other: Path, *, paid_bps: float) -> float | None:
    """The cost at which both portfolios end with the same value; None where one is ahead at every cost up to 2,000.

    The first may be ahead below that cost, or above it: where it trades less than the other.
    """

    def lead(bps: float) -> float:
        gross = math.log(path.values[-1] / other.values[-1]) - _shrinkage(path, paid_bps) + _shrinkage(other, paid_bps)
        return gross + _shrinkage(path, bps) - _shrinkage(other, bps)

    low, high = 0.0, _DEAREST_BPS
    is_ahead = lead(low) > 0
    if lead(low) == 0 or is_ahead == (lead(high) > 0):
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if (lead(middle) > 0) == is_ahead else (low, middle)
    return low


def _shrinkage(path: Path, cost_bps: float) -> float:
    """The logarithm of what costs leave of a portfolio."""
    traded = np.array([trade.traded_frac for trade in path.trades])
    return float(np.log1p(-cost_bps / 10_000 * traded).sum())


def yearly(outcome: Outcome) -> dict[str, dict[int, float]]:
    """The return of each calendar year, by portfolio."""
    dates: Sequence[dt.date] = outcome.schedule.sessions[1:]
    return {series: statistics.yearly_returns(path.returns, dates) for series, path in outcome.paths.items()}
