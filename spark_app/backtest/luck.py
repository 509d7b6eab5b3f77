"""Was it luck? The best of several rules looks good by chance alone; these say how much of it may be that.

Both look at returns over the benchmark: on plain returns any portfolio of shares would pass on the market's rise.
"""

from __future__ import annotations

import math
from itertools import combinations
from statistics import NormalDist

import numpy as np

from spark_app.backtest.engine import Numbers

_EULER = 0.5772156649015329
_BLOCKS = 16
"""Blocks of sessions whose halves are compared: 12,870 ways to choose eight of them."""


def deflated_sharpe(
    sharpe: float, *, periods: int, skew: float, kurtosis: float, trials: int, variance: float
) -> float:
    """The probability that a Sharpe ratio is above what the best of several worthless rules would show.

    Args:
        sharpe: mean over standard deviation of one period, not annualised.
        kurtosis: 3 for a normal distribution.
        variance: of the Sharpe ratios of all trials.
    Source: Bailey and López de Prado, The Deflated Sharpe Ratio, 2014.
    """
    normal = NormalDist()
    luck = 0.0
    if trials > 1:
        expected = (1 - _EULER) * normal.inv_cdf(1 - 1 / trials) + _EULER * normal.inv_cdf(1 - 1 / (trials * math.e))
        luck = math.sqrt(variance) * expected
    spread = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    return normal.cdf((sharpe - luck) * math.sqrt(periods - 1) / math.sqrt(spread))


def deflated_sharpe_of_best(active: Numbers) -> float:
    """The deflated Sharpe ratio of the best column.

    Args:
        active: returns over the benchmark, periods x rules.
    """
    sharpes = _sharpes(active.mean(axis=0), (active**2).mean(axis=0))
    best = active[:, int(sharpes.argmax())]
    scaled = (best - best.mean()) / best.std()
    return deflated_sharpe(
        float(sharpes.max()),
        periods=len(active),
        skew=float((scaled**3).mean()),
        kurtosis=float((scaled**4).mean()),
        trials=active.shape[1],
        variance=float(sharpes.var(ddof=1)),
    )


def overfitting_probability(active: Numbers) -> float:
    """The share of all ways to halve the sessions where the best rule of one half is no better than the other's median.

    Worthless rules have a half; of nine, where a rank equal to the median counts, 5/9. NaN with fewer than two
    sessions a block, or without two rules that differ.

    Args:
        active: returns over the benchmark, periods x rules.
    Source: Bailey, Borwein, López de Prado and Zhu, The Probability of Backtest Overfitting, 2015.
    """
    periods, rules = active.shape
    if periods < _BLOCKS * 2 or (active == active[:, :1]).all():
        return float("nan")
    blocks = np.array_split(active, _BLOCKS)
    counts = np.array([len(block) for block in blocks], dtype=float)
    sums, squares = (np.array([f(block).sum(axis=0) for block in blocks]) for f in (np.asarray, np.square))
    chosen = np.zeros((math.comb(_BLOCKS, _BLOCKS // 2), _BLOCKS))
    for row, half in enumerate(combinations(range(_BLOCKS), _BLOCKS // 2)):
        chosen[row, list(half)] = 1
    inside, outside = (
        _sharpes((side @ sums) / (side @ counts)[:, None], (side @ squares) / (side @ counts)[:, None])
        for side in (chosen, 1 - chosen)
    )
    rows = np.arange(len(chosen))
    of_best = outside[rows, inside.argmax(axis=1)]
    rank = (outside < of_best[:, None]).sum(axis=1) + ((outside == of_best[:, None]).sum(axis=1) + 1) / 2
    return float((rank / (rules + 1) <= 0.5).mean())


def _sharpes(means: Numbers, squares: Numbers) -> Numbers:
    deviations = np.sqrt(np.maximum(squares - means**2, 0))
    return np.divide(means, deviations, out=np.zeros_like(means), where=deviations > 0)
