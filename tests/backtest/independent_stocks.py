"""The portfolio of stocks by plain Python and pandas, one date at a time; it shares no code with the transforms."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd


@dataclass
class Market:
    """What a date is judged by.

    Attributes:
        adjusted, closes: sessions x tickers, of funds and stocks.
        holdings: (fund, snapshot date) -> stock -> percent.
        quotes: stock -> (date, market cap, price), in the order of the dates.
        splits: stock -> (date, new shares per old), all of them contained in the closes.
        issuers: stock -> issuer, of those with several classes.
    """

    benchmark: str
    funds: Sequence[str]
    adjusted: pd.DataFrame
    closes: pd.DataFrame
    holdings: Mapping[tuple[str, dt.date], Mapping[str, float]]
    quotes: Mapping[str, Sequence[tuple[dt.date, int, float]]]
    splits: Mapping[str, Sequence[tuple[dt.date, float]]] = field(default_factory=dict)
    issuers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rules:
    basis: int = 20
    top_sectors: int = 11
    top_stocks: int = 5
    allows_look_ahead: bool = False
    weighting: str = "market_cap"


def portfolio(market: Market, rules: Rules, day: dt.date) -> tuple[dict[str, float], dict[str, set[str]]]:
    """The weights of a date, and the kinds of later facts that each position stands on."""
    days = list(market.adjusted.index)
    place = days.index(day)
    returns = ((market.adjusted.loc[day] / market.adjusted.iloc[place - rules.basis] - 1) * 100).round(6)
    trending = [f for f in market.funds if returns[f] > returns[market.benchmark] and returns[f] > 0]
    chosen = sorted(trending, key=lambda fund: (-returns[fund], fund))[: rules.top_sectors]

    best: dict[str, tuple[float, str, bool]] = {}
    for fund in sorted(market.funds):
        dates = sorted(date for of_fund, date in market.holdings if of_fund == fund)
        known = [date for date in dates if date <= day]
        if not known and not (dates and rules.allows_look_ahead):
            continue
        snapshot = known[-1] if known else dates[0]
        for stock, percent in market.holdings[fund, snapshot].items():
            if stock not in best or percent > best[stock][0]:
                best[stock] = (percent, fund, snapshot > day)
    later: dict[str, set[str]] = {}
    caps: dict[str, int] = {}
    candidates: dict[str, list[str]] = {fund: [] for fund in chosen}
    for stock in sorted(best):
        percent, fund, is_later = best[stock]
        if fund not in chosen or stock not in returns or not returns[stock] > returns[fund]:
            continue
        later[stock] = {"holdings"} if is_later else set()
        if rules.weighting == "market_cap":
            cap, is_cap_later = _market_cap(market, rules, stock, day)
            if cap is None:
                continue
            caps[stock] = cap
            later[stock] |= {"market_caps"} if is_cap_later else set()
        else:
            caps[stock] = 1
        candidates[fund].append(stock)
    for fund, stocks in candidates.items():
        kept: list[str] = []
        for stock in sorted(stocks, key=lambda s: (-best[s][0], s)):
            issuer = market.issuers.get(stock)
            # Classes of one issuer are in one fund in these markets.
            if issuer is None or issuer not in {market.issuers.get(other) for other in kept}:
                kept.append(stock)
        candidates[fund] = sorted(kept, key=lambda s: (-returns[s], s))[: rules.top_stocks]
    held = sorted(stock for stocks in candidates.values() for stock in stocks)
    return _weights({stock: caps[stock] for stock in held}), {stock: later[stock] for stock in held}


def _market_cap(market: Market, rules: Rules, stock: str, day: dt.date) -> tuple[int | None, bool]:
    quotes = market.quotes.get(stock, ())
    known = [quote for quote in quotes if quote[0] <= day]
    if not known and not (quotes and rules.allows_look_ahead):
        return None, False
    date, cap, price = known[-1] if known else quotes[0]
    if date == day:
        return cap, False
    scaled = cap * market.closes[stock].loc[day] / price
    for split, ratio in market.splits.get(stock, ()):
        if split > date:
            scaled *= ratio
    return int(scaled + 0.5), date > day


def _weights(caps: Mapping[str, int]) -> dict[str, float]:
    """Whole units of 1e-8 by the largest remainder, ties by name."""
    total = sum(caps.values())
    units = {stock: cap * 10**8 // total for stock, cap in caps.items()}
    rest = 10**8 - sum(units.values()) if caps else 0
    for stock in sorted(caps, key=lambda s: (-(caps[s] * 10**8 % total), s))[:rest]:
        units[stock] += 1
    return {stock: unit / 10**8 for stock, unit in units.items()}
