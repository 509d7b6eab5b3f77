"""How sure a difference of Sharpe ratios is: an interval by the stationary bootstrap.

Blocks of random length are drawn from both series at once, so that what returns of neighbouring sessions, and of two
portfolios, have in common is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spark_app.backtest import statistics
from spark_app.backtest.engine import Numbers

CONFIDENCE = 0.95
RESAMPLES = 2_000
FEWEST_RETURNS = 30
_SEED = 1994
_AT_ONCE = 250
"""Resamples that are in memory at the same time."""


@dataclass(frozen=True)
class SharpeDifference:
    """The yearly Sharpe ratio of one portfolio minus that of another; NaN where one has no deviation or few returns.

    Attributes:
        low, high: the 2.5 % and 97.5 % quantiles of the resampled differences.
        block: mean length of a block, in returns.
    """

    difference: float
    low: float
    high: float
    block: float


def sharpe_difference(returns: Numbers, other: Numbers, periods_a_year: int) -> SharpeDifference:
    """Compare two series of the same sessions; the same returns give the same interval.

    Source: Politis and Romano, The Stationary Bootstrap, 1994; percentiles of 2,000 resamples.
    """
    both = np.column_stack([returns, other])
    if len(both) < FEWEST_RETURNS or (both.std(axis=0) < 1e-15).any():
        return SharpeDifference(*[math.nan] * 4)
    block = block_length(_influences(both) @ [1, -1])
    random = np.random.default_rng(_SEED)
    found = np.concatenate(
        [_resampled(both, 1 / block, _AT_ONCE, random) @ [1, -1] for _ in range(RESAMPLES // _AT_ONCE)]
    )
    low, high = np.quantile(found * math.sqrt(periods_a_year), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    ours, theirs = (statistics.sharpe(series, periods_a_year) for series in (returns, other))
    return SharpeDifference(ours - theirs, float(low), float(high), block)


def block_length(series: Numbers) -> float:
    """The mean length of a block that suits the dependence of a series, at least 1.

    Source: Politis and White, Automatic Block-Length Selection for the Dependent Bootstrap, 2004, with the correction
    of Patton, Politis and White, 2009.
    """
    count, centred = len(series), series - series.mean()
    if series.std() < 1e-15:
        return 1.0
    run = max(5, int(math.log10(count)))
    lags = math.ceil(math.sqrt(count)) + run
    products = np.array([centred[lag:] @ centred[: count - lag] for lag in range(lags + 1)])
    # The first of as many lags in a row as `run` whose correlations are those of noise.
    is_noise = np.abs(products / _scales(centred, lags)) < 2 * math.sqrt(math.log10(count) / count)
    first = next((lag for lag in range(1, lags - run + 1) if is_noise[lag : lag + run].all()), None)
    last = lags if first is None else min(2 * first, lags)
    lag = np.arange(1, last + 1)
    weights = 2 * np.minimum(1, 2 * (1 - lag / last))
    covariances = products / count
    spread = covariances[0] + weights @ covariances[1 : last + 1]
    slope = weights @ (lag * covariances[1 : last + 1])
    longest = math.ceil(min(3 * math.sqrt(count), count / 3))
    return float(np.clip((slope / spread) ** 2 * count, 1, longest**3) ** (1 / 3))


def _scales(centred: Numbers, lags: int) -> Numbers:
    """What a product of lagged values is divided by for their correlation."""
    squares = np.concatenate([[0.0], np.cumsum(centred**2)])
    lag = np.arange(lags + 1)
    scales: Numbers = np.sqrt((squares[-1] - squares[lag + 1]) * squares[len(centred) - lag - 1])
    return scales


def _influences(both: Numbers) -> Numbers:
    """What each return adds to the Sharpe ratio of its column, to the first order."""
    scaled = (both - both.mean(axis=0)) / both.std(axis=0)
    influences: Numbers = scaled - both.mean(axis=0) / both.std(axis=0) / 2 * (scaled**2 - 1)
    return influences


def _resampled(both: Numbers, new_block: float, resamples: int, random: np.random.Generator) -> Numbers:
    """Sharpe ratios of resampled returns, per period: resamples x columns; a block goes on at the beginning."""
    count = len(both)
    place = np.arange(count, dtype=np.int32)
    is_start = random.random((resamples, count), dtype=np.float32) < new_block
    is_start[:, 0] = True
    begun = np.maximum.accumulate(np.where(is_start, place, np.int32(0)), axis=1)
    starts = random.integers(0, count, (resamples, count), dtype=np.int32)
    drawn = (np.take_along_axis(starts, begun, axis=1) + place - begun) % count
    row = np.arange(resamples)[:, None] * count
    # How often each return was drawn: sums are then products of matrices.
    times = np.bincount((drawn + row).ravel(), minlength=resamples * count).reshape(resamples, count)
    means, squares = (times @ powers / count for powers in (both, both**2))
    deviations = np.sqrt(np.maximum(squares - means**2, 0) * count / (count - 1))
    return np.divide(means, deviations, out=np.zeros_like(means), where=deviations > 1e-15)
