"""The interval of a difference of Sharpe ratios: against arch, against theory, and on series that follow each other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap, optimal_block_length

from spark_app.backtest.bootstrap import SharpeDifference, block_length, sharpe_difference
from spark_app.backtest.engine import Numbers


def _trending(seed: int, persistence: float, count: int = 1500) -> Numbers:
    """Returns of two portfolios, which have something in common and remember the session before."""
    random = np.random.default_rng(seed)
    noise = random.normal(0.0004, 0.01, (count, 2)) + random.normal(0, 0.005, (count, 1))
    for n in range(1, count):
        noise[n] += persistence * noise[n - 1]
    return noise


@pytest.mark.parametrize("persistence", [0.0, 0.3, 0.8])
def test_blocks_are_as_long_as_those_of_arch(persistence: float) -> None:
    for seed in range(8):
        series = _trending(seed, persistence)[:, 0]
        expected = max(float(optimal_block_length(series)["stationary"].iloc[0]), 1)
        assert block_length(series) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("persistence", [0.0, 0.6])
def test_the_interval_is_that_of_arch(persistence: float) -> None:
    both = _trending(3, persistence)
    found = _difference_of(both)

    def difference(drawn: Numbers) -> float:
        ratios = drawn.mean(axis=0) / drawn.std(axis=0, ddof=1)
        return float(ratios[0] - ratios[1]) * math.sqrt(252)

    bootstrap: Any = StationaryBootstrap  # Its types want blocks of whole sessions.
    low, high = bootstrap(found.block, both, seed=1).conf_int(difference, reps=5000, method="percentile")[:, 0]
    # Two draws of thousands differ by a few hundredths of the width.
    assert found.low == pytest.approx(low, abs=0.05 * (high - low))
    assert found.high == pytest.approx(high, abs=0.05 * (high - low))
    assert found.difference == pytest.approx(difference(both))


def test_for_independent_normal_returns_it_is_as_wide_as_theory_says() -> None:
    count = 2000
    widths = []
    for seed in range(6):
        found = _difference_of(np.random.default_rng(seed).normal(0.0005, 0.01, (count, 2)))
        widths.append(found.high - found.low)
    # The standard error of a Sharpe ratio is the root of (1 + ratio ** 2 / 2) / n (Lo, 2002); here of two ratios.
    error = math.sqrt(2 * (1 + 0.05**2 / 2) / count * 252)
    assert np.mean(widths) == pytest.approx(2 * 1.96 * error, rel=0.05)


def _difference_of(both: Numbers) -> SharpeDifference:
    return sharpe_difference(both[:, 0], both[:, 1], 252)


def test_equal_portfolios_differ_in_one_of_twenty_samples() -> None:
    found = [_difference_of(np.random.default_rng(seed).normal(0.001, 0.01, (250, 2))) for seed in range(100)]
    assert 88 <= sum(each.low <= 0 <= each.high for each in found) <= 99


def test_a_portfolio_that_is_always_ahead_is_ahead_for_sure() -> None:
    returns = _trending(1, 0.2)[:, 0]
    found = sharpe_difference(returns + 0.002, returns, 252)
    assert 0 < found.low < found.difference < found.high


def test_the_same_returns_give_the_same_interval_and_no_difference_gives_none() -> None:
    both = _trending(2, 0.1)
    assert sharpe_difference(both[:, 0], both[:, 1], 12) == sharpe_difference(both[:, 0], both[:, 1], 12)
    same = sharpe_difference(both[:, 0], both[:, 0].copy(), 252)
    assert (same.difference, same.low, same.high, same.block) == (0, 0, 0, 1)


@pytest.mark.parametrize("returns", [np.full(40, 0.0), np.full(0, 0.0), np.linspace(-0.1, 0.1, 29)])
def test_cash_and_few_returns_have_no_interval(returns: Numbers) -> None:
    other = np.linspace(-0.02, 0.03, len(returns))
    assert all(math.isnan(figure) for figure in vars(sharpe_difference(returns, other, 252)).values())
