"""Costs: another cost needs no second run of the engine, and the break-even is where both end level."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_app.backtest import statistics
from spark_app.backtest.engine import Rules, simulate
from spark_app.backtest.outcome import break_even_bps, cagr_at
from tests.backtest.markets import as_numbered, as_prices, random_market, random_targets


@given(st.integers(0, 10_000), st.sampled_from([0.0, 5.0, 400.0]), st.sampled_from([0.0, 20.0]))
def test_the_growth_at_another_cost_is_that_of_another_run(seed: int, cost: float, paid: float) -> None:
    closes, opens = random_market(seed)
    targets = as_numbered(closes, random_targets(seed, closes, 5))
    paths = {bps: simulate(as_prices(closes, opens), targets, Rules("next_open", bps)) for bps in (cost, paid)}
    expected = statistics.cagr(paths[cost].returns, 252)
    assert cagr_at(paths[paid], cost, paid_bps=paid, periods_a_year=252) == pytest.approx(expected, rel=1e-9)


def test_at_the_break_even_cost_both_end_with_the_same_value() -> None:
    found = 0
    for seed in range(20):
        closes, opens = random_market(seed)
        prices = as_prices(closes, opens)
        often = as_numbered(closes, random_targets(seed, closes, 5))
        once = as_numbered(closes, dict(list(random_targets(seed + 1, closes, 60).items())[:1]))
        ours, other = (simulate(prices, targets, Rules("next_close", 10)) for targets in (often, once))
        even = break_even_bps(ours, other, paid_bps=10)
        if even is not None:
            found += 1
            level = [simulate(prices, targets, Rules("next_close", even)).values[-1] for targets in (often, once)]
            assert level[0] == pytest.approx(level[1], rel=1e-9)
            # The other one, which trades less, is ahead from there on.
            assert break_even_bps(other, ours, paid_bps=10) == pytest.approx(even)
        else:
            dear = [simulate(prices, targets, Rules("next_close", 2000)).values[-1] for targets in (often, once)]
            free = [simulate(prices, targets, Rules("next_close", 0)).values[-1] for targets in (often, once)]
            assert (dear[0] > dear[1]) == (free[0] > free[1])
    assert found >= 3
