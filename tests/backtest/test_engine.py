"""The engine against a second one and against figures worked out by hand."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from pathlib import Path as File

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_app.backtest.engine import Execution, Path, Prices, Rules, simulate
from tests.backtest import independent
from tests.backtest.markets import as_numbered, as_prices, random_market, random_targets, real_funds

EXECUTIONS: tuple[Execution, ...] = ("next_open", "next_close", "same_close")
DAYS = tuple(dt.date(2024, 1, 1) + dt.timedelta(days=n) for n in range(6))
NAN = float("nan")


def _prices(**closes: list[float]) -> Prices:
    columns = np.array(list(closes.values())).T
    return Prices(DAYS[: len(columns)], tuple(closes), columns, columns - 1)


def _agree(path: Path, closes: pd.DataFrame, by_date: pd.DataFrame, trades: pd.DataFrame) -> None:
    np.testing.assert_allclose(path.values, by_date["value"], rtol=1e-9)
    np.testing.assert_allclose(path.weights, by_date[list(closes.columns)], atol=1e-9)
    assert [closes.index[t.decided] for t in path.trades] == list(trades["decided"])
    assert [closes.index[t.traded] for t in path.trades] == list(trades["traded"])
    np.testing.assert_allclose([t.turnover for t in path.trades], trades["turnover"], atol=1e-9)
    np.testing.assert_allclose([t.cost for t in path.trades], trades["cost"], atol=1e-9)


@given(
    st.integers(0, 10_000), st.sampled_from(EXECUTIONS), st.sampled_from([1, 5, 21]), st.sampled_from([0.0, 10, 1000])
)
def test_it_agrees_with_an_independent_engine_on_random_markets(
    seed: int, execution: Execution, every: int, cost_bps: float
) -> None:
    closes, opens = random_market(seed)
    targets = random_targets(seed, closes, every)
    rules = Rules(execution, cost_bps, cash_frac=0.03)
    path = simulate(as_prices(closes, opens), as_numbered(closes, targets), rules)
    by_date, trades = independent.run(closes, opens, targets, execution=execution, cost_bps=cost_bps, cash_frac=0.03)
    _agree(path, closes, by_date, trades)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_it_agrees_with_an_independent_engine_on_nine_years_of_real_prices(
    shared_data: File, execution: Execution
) -> None:
    bars = real_funds(shared_data)
    closes = bars.pivot(index="trade_date", columns="ticker", values="adj_close")
    opens = bars.pivot(index="trade_date", columns="ticker", values="adj_open")
    targets = random_targets(3, closes, 5)
    path = simulate(as_prices(closes, opens), as_numbered(closes, targets), Rules(execution, 10))
    _agree(path, closes, *independent.run(closes, opens, targets, execution=execution, cost_bps=10))


def test_weights_drift_between_rebalances_and_are_restored_by_them() -> None:
    half = np.array([0.5, 0.5])
    path = simulate(_prices(A=[10, 20, 20], B=[10, 10, 10]), {0: half, 1: half}, Rules("same_close"))
    # Bought half and half; A doubles: 1.5, of which A is 1.0. The second rebalance moves 1/6 of it.
    assert list(path.values) == pytest.approx([1, 1.5, 1.5])
    assert path.trades[1].turnover == pytest.approx(1 / 6)
    assert path.weights[2].tolist() == pytest.approx([0.5, 0.5])


def test_costs_are_paid_on_both_sides_from_the_value_before_the_trade() -> None:
    path = simulate(
        _prices(A=[10, 10, 10], B=[10, 10, 10]),
        {0: np.array([1.0, 0]), 1: np.array([0, 1.0])},
        Rules("next_close", 100),
    )
    # 1 % of 1, then 2 % of 0.99: all of A is sold and all of B is bought.
    assert list(path.values) == pytest.approx([1, 0.99, 0.99 * 0.98])
    assert [trade.turnover for trade in path.trades] == pytest.approx([1, 1])


def test_the_first_return_includes_the_purchase_at_the_same_close() -> None:
    path = simulate(_prices(A=[10, 11]), {0: np.array([1.0])}, Rules("same_close", 100))
    assert list(path.values) == pytest.approx([1, 0.99 * 1.1])


def test_the_next_open_is_where_the_fall_of_the_night_is_missed() -> None:
    # The opens are the closes less 1: bought at 8, worth 9 at the close.
    path = simulate(_prices(A=[10, 9]), {0: np.array([1.0])}, Rules("next_open"))
    assert list(path.values) == pytest.approx([1, 9 / 8])


def test_a_stock_that_ends_is_sold_at_its_last_close() -> None:
    out = np.array([0.0])
    path = simulate(_prices(A=[10, 12, NAN, NAN, NAN]), {0: np.array([1.0]), 3: out}, Rules("next_close"))
    assert list(path.values) == pytest.approx([1, 1, 1, 1, 1])
    path = simulate(_prices(A=[10, 12, NAN, NAN, NAN]), {0: np.array([1.0]), 3: out}, Rules("same_close"))
    assert list(path.values) == pytest.approx([1, 1.2, 1.2, 1.2, 1.2])
    assert path.weights[3].tolist() == [0]


def test_what_has_no_price_is_not_bought_and_its_part_stays_cash() -> None:
    half = np.array([0.5, 0.5])
    path = simulate(_prices(A=[10, 10, 20], B=[10, NAN, 10]), {0: half}, Rules("next_close"))
    assert path.weights[1].tolist() == pytest.approx([0.5, 0])
    assert path.trades[0].unpriced == ("B",)
    assert list(path.values) == pytest.approx([1, 1, 1.5])


def test_a_delay_trades_the_same_target_a_session_later() -> None:
    prices = _prices(A=[10, 20, 40, 80])
    assert list(simulate(prices, {0: np.array([1.0])}, Rules("next_close")).values) == pytest.approx([1, 1, 2, 4])
    late = simulate(prices, {0: np.array([1.0])}, Rules("next_close", delay=1))
    assert list(late.values) == pytest.approx([1, 1, 1, 2])


def test_a_rebalance_that_would_trade_after_the_end_is_not_made() -> None:
    assert not simulate(_prices(A=[10, 10]), {1: np.array([1.0])}, Rules("next_close")).trades
    assert simulate(_prices(A=[10, 10]), {1: np.array([1.0])}, Rules("same_close")).trades


def test_bars_of_closes_only_have_no_open() -> None:
    prices = Prices(DAYS[:2], ("A",), np.array([[10.0], [11.0]]))
    with pytest.raises(ValueError, match="closes only"):
        simulate(prices, {0: np.array([1.0])}, Rules("next_open"))


@given(st.integers(0, 10_000))
def test_more_costs_never_make_more_and_weights_never_exceed_one(seed: int) -> None:
    closes, opens = random_market(seed, sessions=40)
    targets = as_numbered(closes, random_targets(seed, closes, 3))
    paths = [simulate(as_prices(closes, opens), targets, Rules("next_open", bps)) for bps in (0.0, 10.0, 500.0)]
    for cheaper, dearer in pairwise(paths):
        assert (dearer.values <= cheaper.values + 1e-12).all()
        # Costs shrink the portfolio, they do not change what is in it.
        np.testing.assert_allclose(dearer.weights, cheaper.weights, atol=1e-9)
    assert (paths[0].weights.sum(axis=1) <= 1 + 1e-9).all()
    assert (paths[0].weights >= 0).all()


@given(st.integers(0, 10_000))
def test_a_portfolio_of_all_cash_earns_its_interest_alone(seed: int) -> None:
    closes, opens = random_market(seed, sessions=253)
    nothing = {0: np.zeros(closes.shape[1])}
    path = simulate(as_prices(closes, opens), nothing, Rules(cost_bps=50, cash_frac=0.05))
    assert path.values[-1] == pytest.approx(1.05)
    assert path.trades[0].turnover == 0
