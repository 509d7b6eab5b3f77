"""Statistics against empyrical-reloaded (alpha, information ratio and hit rate against pandas) and by hand."""

from __future__ import annotations

import datetime as dt
import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_app.backtest import statistics
from spark_app.backtest.engine import Numbers
from tests.backtest.markets import real_funds

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import empyrical


def _approx(value: float) -> object:
    return pytest.approx(value, rel=1e-10, abs=1e-12)


def _dates(count: int) -> list[dt.date]:
    return [dt.date(2020, 1, 1) + dt.timedelta(days=n) for n in range(count)]


def _compare(returns: Numbers, benchmark: Numbers, periods: int) -> None:
    year = {"annualization": periods}
    risk_free = (1 + 0.02) ** (1 / periods) - 1
    pairs = [
        (statistics.cagr(returns, periods), empyrical.cagr(returns, **year)),
        (statistics.volatility(returns, periods), empyrical.annual_volatility(returns, **year)),
        (statistics.sharpe(returns, periods), empyrical.sharpe_ratio(returns, **year)),
        (
            statistics.sharpe(returns, periods, risk_free=0.02),
            empyrical.sharpe_ratio(returns, risk_free=risk_free, **year),
        ),
        (statistics.sortino(returns, periods), empyrical.sortino_ratio(returns, **year)),
        (statistics.max_drawdown(returns, _dates(len(returns) + 1)).fall, empyrical.max_drawdown(returns)),
        (statistics.beta(returns, benchmark), empyrical.beta(returns, benchmark)),
        (statistics.value_at_risk(returns), empyrical.value_at_risk(returns, cutoff=0.05)),
        (statistics.conditional_value_at_risk(returns), empyrical.conditional_value_at_risk(returns, cutoff=0.05)),
    ]
    for number, (ours, theirs) in enumerate(pairs):
        assert ours == _approx(float(theirs)), number

    r, b = pd.Series(returns), pd.Series(benchmark)
    slope = r.cov(b) / b.var()
    assert statistics.alpha(returns, benchmark, periods) == _approx((r.mean() - slope * b.mean()) * periods)
    active = r - b
    ratio = active.mean() / active.std() * math.sqrt(periods)
    assert statistics.information_ratio(returns, benchmark, periods) == _approx(ratio)
    assert statistics.hit_rate(returns) == _approx(r.gt(0).mean())


@given(st.integers(0, 10_000), st.integers(30, 800), st.sampled_from([12, 252]))
def test_they_agree_with_empyrical_on_random_returns(seed: int, count: int, periods: int) -> None:
    random = np.random.default_rng(seed)
    benchmark = random.normal(0.0003, 0.01, count)
    _compare(0.8 * benchmark + random.normal(0.0001, 0.008, count), benchmark, periods)


@pytest.mark.parametrize("fund", ["XLK", "XLE", "XLU"])
def test_they_agree_with_empyrical_on_real_returns(shared_data: Path, fund: str) -> None:
    closes = real_funds(shared_data).pivot(index="trade_date", columns="ticker", values="adj_close")
    returns = closes[[fund, "SPY"]].dropna().pct_change().dropna()
    assert len(returns) > 2000
    _compare(returns[fund].to_numpy(), returns["SPY"].to_numpy(), 252)


def test_one_doubling_over_a_year_is_a_growth_of_100_percent() -> None:
    returns = np.full(252, 2 ** (1 / 252) - 1)
    assert statistics.cagr(returns, 252) == _approx(1.0)


def test_the_largest_fall_has_its_dates_and_its_recovery() -> None:
    days = _dates(6)
    # 1, 1.1, 0.88, 0.99, 1.1, 1.2: from the second day to the third, made good on the fifth.
    curve = np.array([1, 1.1, 0.88, 0.99, 1.1, 1.2])
    found = statistics.max_drawdown(curve[1:] / curve[:-1] - 1, days)
    assert found.fall == _approx(-0.2)
    assert (found.peak_date, found.trough_date, found.recovery_date) == (days[1], days[2], days[4])


def test_a_fall_from_the_start_counts_and_may_never_recover() -> None:
    found = statistics.max_drawdown(np.array([-0.5, 0.1]), _dates(3))
    assert (found.fall, found.peak_date, found.recovery_date) == (-0.5, _dates(1)[0], None)
    assert statistics.max_drawdown(np.array([0.1, 0.1]), _dates(3)) == statistics.Drawdown(0.0)


def test_zeros_count_among_all_periods_of_the_hit_rate() -> None:
    assert statistics.hit_rate(np.array([0.01, 0.0, -0.01, 0.02])) == 0.5


def test_years_are_compounded_by_themselves() -> None:
    days = [dt.date(2023, 12, 28), dt.date(2023, 12, 29), dt.date(2024, 1, 2)]
    years = statistics.yearly_returns(np.array([0.1, 0.1, -0.5]), days)
    assert years == {2023: _approx(0.21), 2024: -0.5}


def test_what_is_not_defined_is_not_a_number() -> None:
    flat, none = np.zeros(10), np.array([])
    assert math.isnan(statistics.sharpe(flat, 252))
    assert math.isnan(statistics.beta(flat, flat))
    for statistic in (statistics.value_at_risk, statistics.hit_rate, statistics.conditional_value_at_risk):
        assert math.isnan(statistic(none))
    assert math.isnan(statistics.cagr(none, 252))
