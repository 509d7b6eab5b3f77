"""Statistics of a series of returns, annualised by the periods of a year; docs/BACKTEST.md has the definitions."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spark_app.backtest.engine import Numbers

TAIL = 0.05
_NOTHING = float("nan")


@dataclass(frozen=True)
class Drawdown:
    """The largest fall of the compounded curve, a fraction from -1 to 0; dates are None where it never fell.

    `recovery_date` is None where the curve did not reach its earlier peak again.
    """

    fall: float
    peak_date: dt.date | None = None
    trough_date: dt.date | None = None
    recovery_date: dt.date | None = None


def cagr(returns: Numbers, periods_a_year: int) -> float:
    """The yearly growth rate: (product of 1 + r) ^ (periods / n) - 1."""
    if not len(returns):
        return _NOTHING
    growth = float(np.prod(1 + returns))
    return math.pow(growth, periods_a_year / len(returns)) - 1


def volatility(returns: Numbers, periods_a_year: int) -> float:
    """The sample standard deviation in a year."""
    return _deviation(returns) * math.sqrt(periods_a_year)


def sharpe(returns: Numbers, periods_a_year: int, *, risk_free: float = 0.0) -> float:
    """Mean excess over standard deviation, in a year; `risk_free` is yearly and is compounded down to a period."""
    excess = returns - ((1 + risk_free) ** (1 / periods_a_year) - 1)
    return _ratio(_mean(excess), _deviation(excess)) * math.sqrt(periods_a_year)


def sortino(returns: Numbers, periods_a_year: int, *, required: float = 0.0) -> float:
    """Mean excess over the downside deviation of all n periods, in a year; `required` is per period."""
    excess = returns - required
    downside = float(np.sqrt(_mean(np.minimum(excess, 0) ** 2)))
    return _ratio(_mean(excess), downside) * math.sqrt(periods_a_year)


def max_drawdown(returns: Numbers, dates: Sequence[dt.date]) -> Drawdown:
    """The largest fall from a peak, the starting 1 included.

    Args:
        dates: the date of the start, then of each return.
    """
    curve = np.concatenate([[1.0], np.cumprod(1 + returns)])
    peaks = np.maximum.accumulate(curve)
    falls = curve / peaks - 1
    trough = int(falls.argmin())
    if falls[trough] == 0:
        return Drawdown(0.0)
    peak = int(curve[: trough + 1].argmax())
    recovered = np.flatnonzero(curve[trough:] >= peaks[trough])
    recovery = dates[trough + int(recovered[0])] if len(recovered) else None
    return Drawdown(float(falls[trough]), dates[peak], dates[trough], recovery)


def beta(returns: Numbers, benchmark: Numbers) -> float:
    """Covariance with the benchmark over its variance, on the same sessions."""
    if len(returns) < 2:
        return _NOTHING
    covariance = np.cov(returns, benchmark, ddof=1)
    return _ratio(float(covariance[0, 1]), float(covariance[1, 1]))


def alpha(returns: Numbers, benchmark: Numbers, periods_a_year: int) -> float:
    """(mean r - beta x mean b) x periods, not compounded."""
    return (_mean(returns) - beta(returns, benchmark) * _mean(benchmark)) * periods_a_year


def information_ratio(returns: Numbers, benchmark: Numbers, periods_a_year: int) -> float:
    """Mean return over the benchmark, over its standard deviation, in a year."""
    active = returns - benchmark
    return _ratio(_mean(active), _deviation(active)) * math.sqrt(periods_a_year)


def value_at_risk(returns: Numbers) -> float:
    """The 5 % quantile of the returns (linear between two)."""
    return float(np.quantile(returns, TAIL)) if len(returns) else _NOTHING


def conditional_value_at_risk(returns: Numbers) -> float:
    """The mean of the returns at or below `value_at_risk`."""
    return _mean(returns[returns <= value_at_risk(returns)])


def hit_rate(returns: Numbers) -> float:
    """The share of all periods with a return above 0."""
    return _mean((returns > 0).astype(float))


def yearly_returns(returns: Numbers, dates: Sequence[dt.date]) -> dict[int, float]:
    """The compounded return of each calendar year.

    Args:
        dates: the date of each return.
    """
    years = np.array([date.year for date in dates])
    return {int(year): float(np.prod(1 + returns[years == year]) - 1) for year in np.unique(years)}


def _mean(numbers: Numbers) -> float:
    return float(numbers.mean()) if len(numbers) else _NOTHING


def _deviation(numbers: Numbers) -> float:
    return float(numbers.std(ddof=1)) if len(numbers) > 1 else _NOTHING


def _ratio(numerator: float, denominator: float) -> float:
    """A deviation of rounding errors alone gives no ratio."""
    return numerator / denominator if denominator > 1e-15 else _NOTHING
