"""Luck: the example of the paper, rules without any worth, and one that is always ahead."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from spark_app.backtest.luck import deflated_sharpe, deflated_sharpe_of_best, overfitting_probability


def test_the_deflated_sharpe_ratio_of_the_papers_example() -> None:
    # A yearly 2.5 over five years of 250 days, the best of 100 trials whose yearly ratios have the variance 1/2.
    found = deflated_sharpe(2.5 / math.sqrt(250), periods=1250, skew=-3, kurtosis=10, trials=100, variance=0.5 / 250)
    assert found == pytest.approx(0.9004, abs=5e-5)


def test_the_best_of_many_worthless_rules_is_no_discovery() -> None:
    found = [deflated_sharpe_of_best(np.random.default_rng(seed).normal(0, 0.01, (1000, 20))) for seed in range(30)]
    assert np.mean(np.array(found) > 0.95) <= 0.1
    assert 0.2 < np.mean(found) < 0.8


def test_worthless_rules_are_overfitted_about_half_of_the_time() -> None:
    found = [overfitting_probability(np.random.default_rng(seed).normal(0, 0.01, (400, 9))) for seed in range(20)]
    assert 0.35 < np.mean(found) < 0.65


def test_a_rule_that_is_always_ahead_is_not_overfitted() -> None:
    active = np.random.default_rng(1).normal(0, 0.001, (320, 5))
    active[:, 3] += 0.01
    assert overfitting_probability(active) == 0
    assert deflated_sharpe_of_best(active) > 0.99


def test_the_probability_agrees_with_one_half_after_the_other() -> None:
    active = np.random.default_rng(5).normal(0, 0.01, (160, 4))
    below = []
    for half in combinations(range(16), 8):
        is_inside = np.isin(np.arange(160) // 10, half)
        inside, outside = active[is_inside], active[~is_inside]
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1)))
        sharpes = outside.mean(axis=0) / outside.std(axis=0, ddof=1)
        rank = 1 + sum(sharpes < sharpes[best])
        below.append(rank / 5 <= 0.5)
    assert overfitting_probability(active) == pytest.approx(np.mean(below))


def test_too_few_sessions_or_rules_have_no_probability() -> None:
    assert math.isnan(overfitting_probability(np.zeros((10, 5))))
    assert math.isnan(overfitting_probability(np.zeros((100, 1))))


def test_rules_that_all_do_the_same_have_no_probability() -> None:
    # As where nothing trends and all nine hold cash: there was no best one to choose.
    active = np.repeat(np.random.default_rng(6).normal(0.001, 0.01, (400, 1)), 9, axis=1)
    assert math.isnan(overfitting_probability(active))
