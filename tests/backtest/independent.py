"""A second engine, sharing no code with the first: money instead of units, one session and one ticker at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd


@dataclass
class Book:
    """What a portfolio contains: money in each ticker and the price at which that money was counted last."""

    money: dict[str, float] = field(default_factory=dict)
    price: dict[str, float] = field(default_factory=dict)
    cash: float = 1.0

    @property
    def value(self) -> float:
        return sum(self.money.values()) + self.cash

    def mark(self, ticker: str, price: float) -> None:
        if pd.notna(price):
            self.money[ticker] *= price / self.price[ticker]
            self.price[ticker] = price


def run(
    closes: pd.DataFrame,
    opens: pd.DataFrame | None,
    targets: Mapping[dt.date, Mapping[str, float]],
    *,
    execution: str,
    cost_bps: float,
    cash_frac: float = 0.0,
    periods_a_year: int = 252,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns one row per session (value, cash and the weight of each ticker), and one row per trade."""
    book, rows, trades = Book(), [], []
    dates, close_of = list(closes.index), _by_date(closes)
    open_of = {} if opens is None else _by_date(opens)
    for number, date in enumerate(dates):
        if number:
            book.cash *= (1 + cash_frac) ** (1 / periods_a_year)
        decided = date if execution == "same_close" else dates[number - 1] if number else None
        target = targets.get(decided) if decided is not None else None
        if execution == "next_open" and target is not None:
            for ticker in book.money:
                book.mark(ticker, open_of[date][ticker])
            trades.append(_trade(book, target, open_of[date], cost_bps) | {"decided": decided, "traded": date})
        for ticker in book.money:
            book.mark(ticker, close_of[date][ticker])
        if execution != "next_open" and target is not None:
            trades.append(_trade(book, target, close_of[date], cost_bps) | {"decided": decided, "traded": date})
        weights = {ticker: book.money.get(ticker, 0.0) / book.value for ticker in closes.columns}
        rows.append({"date": date, "value": book.value if number else 1.0, **weights})
    return pd.DataFrame(rows).set_index("date"), pd.DataFrame(trades)


def _by_date(prices: pd.DataFrame) -> dict[dt.date, dict[str, float]]:
    rows = prices.to_numpy().tolist()
    return {date: dict(zip(prices.columns, row, strict=True)) for date, row in zip(prices.index, rows, strict=True)}


def _trade(book: Book, target: Mapping[str, float], prices: Mapping[str, float], cost_bps: float) -> dict[str, float]:
    value = book.value
    wanted = {t: w for t, w in target.items() if w > 0 and (t in book.money or pd.notna(prices[t]))}
    before = {ticker: money / value for ticker, money in book.money.items()}
    sold_and_bought = sum(abs(wanted.get(t, 0.0) - before.get(t, 0.0)) for t in {*wanted, *before})
    cost = cost_bps / 10_000 * value * sold_and_bought
    cash_before, cash_weight = book.cash / value, 1 - sum(wanted.values())
    book.price = {t: book.price[t] if t in book.money else prices[t] for t in wanted}
    book.money = {t: w * (value - cost) for t, w in wanted.items()}
    book.cash = cash_weight * (value - cost)
    return {"cost": cost, "turnover": (sold_and_bought + abs(cash_weight - cash_before)) / 2}
