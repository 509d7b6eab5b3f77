"""The engine: what a portfolio that trades given targets is worth on every session.

A trade restores the target weights; between trades units stay constant, so weights drift. Costs are paid on what is
bought and sold. The rules are those of docs/BACKTEST.md.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Numbers: TypeAlias = npt.NDArray[np.float64]
Execution = Literal["next_open", "next_close", "same_close"]

_BASIS_POINT = 1e-4
_WEIGHT_DECIMALS = 8


@dataclass(frozen=True, eq=False)
class Prices:
    """Prices adjusted for splits and dividends, sessions x tickers; NaN without a usable price.

    Attributes:
        opens: None where bars have closes only.
    """

    sessions: tuple[dt.date, ...]
    tickers: tuple[str, ...]
    closes: Numbers
    opens: Numbers | None = None


@dataclass(frozen=True)
class Rules:
    """How targets are traded.

    Attributes:
        cost_bps: cost of buying or selling, in basis points of the amount.
        cash_frac: interest of cash in a year, a fraction.
        delay: sessions by which every trade comes later than the execution says.
    """

    execution: Execution = "next_open"
    cost_bps: float = 0.0
    cash_frac: float = 0.0
    periods_a_year: int = 252
    delay: int = 0


@dataclass(frozen=True)
class Trade:
    """One rebalance.

    Attributes:
        decided, traded: places of the sessions of the signal and of the trade.
        traded_frac: bought and sold, a fraction of the value before the trade, cash not counted.
        turnover: half of all changes of weight, cash counted.
        cost: in units of the value.
        unpriced: tickers of the target that were not bought for want of a price.
    """

    decided: int
    traded: int
    value_before: float
    traded_frac: float
    turnover: float
    cost: float
    unpriced: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Path:
    """A portfolio over time: the value at each close (1 on the first session) and the weights there (rest: cash)."""

    values: Numbers
    weights: Numbers
    trades: tuple[Trade, ...]

    @property
    def returns(self) -> Numbers:
        """The return of each session but the first."""
        return np.asarray(self.values[1:] / self.values[:-1] - 1)


def simulate(prices: Prices, targets: Mapping[int, Numbers], rules: Rules) -> Path:
    """Trade the targets.

    Args:
        targets: place of the session of a signal -> weight of each ticker, in the order of `prices`; the rest is cash.
    """
    lag = rules.delay + (0 if rules.execution == "same_close" else 1)
    count = len(prices.sessions)
    last_close = _last_known(prices.closes)
    cash_price = (1 + rules.cash_frac) ** (np.arange(count) / rules.periods_a_year)
    units, cash, begin = np.zeros(len(prices.tickers)), 1.0, 0
    values, weights, trades = np.empty(count), np.empty((count, len(prices.tickers))), []

    def hold(end: int) -> None:
        held = last_close[begin:end] * units
        values[begin:end] = held.sum(axis=1) + cash * cash_price[begin:end]
        weights[begin:end] = held / values[begin:end, None]

    for decided in sorted(targets):
        traded = decided + lag
        if traded >= count:
            break
        hold(traded)
        price, is_priced = _trade_prices(prices, last_close, traded, units > 0, rules.execution)
        target = np.where(is_priced, targets[decided], 0.0)
        cash_value = cash * cash_price[traded]
        value = float(price @ units + cash_value)
        before, target_cash = price * units / value, max(round(1 - float(target.sum()), _WEIGHT_DECIMALS), 0.0)
        traded_frac = float(np.abs(target - before).sum())
        cost = rules.cost_bps * _BASIS_POINT * value * traded_frac
        left = value - cost
        units = np.divide(target * left, price, out=np.zeros_like(price), where=target > 0)
        cash, begin = target_cash * left / cash_price[traded], traded
        turnover = (traded_frac + abs(target_cash - cash_value / value)) / 2
        unpriced = tuple(np.array(prices.tickers)[(targets[decided] > 0) & ~is_priced])
        trades.append(Trade(decided, traded, value, traded_frac, turnover, cost, unpriced))
    hold(count)
    # The first session is where the value is 1, before anything is bought at its close.
    values[0] = 1.0
    return Path(values, weights, tuple(trades))


def _trade_prices(
    prices: Prices, last_close: Numbers, traded: int, is_held: npt.NDArray[np.bool_], execution: Execution
) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """The price of each ticker in a trade, and whether it has one: what is held trades at its last close at worst."""
    if execution == "next_open":
        if prices.opens is None:
            raise ValueError("bars of closes only have no open to trade at")
        price, last = prices.opens[traded], last_close[traded - 1]
    else:
        price, last = prices.closes[traded], last_close[traded]
    price = np.where(np.isnan(price) & is_held, last, price)
    is_priced = ~np.isnan(price)
    return np.where(is_priced, price, 0.0), is_priced


def _last_known(closes: Numbers) -> Numbers:
    """The last usable close of each ticker up to each session, 0 before its first."""
    rows = np.arange(len(closes))[:, None]
    newest = np.maximum.accumulate(np.where(np.isnan(closes), -1, rows), axis=0)
    filled = np.take_along_axis(closes, np.maximum(newest, 0), axis=0)
    return np.asarray(np.where(newest < 0, 0.0, filled))
