"""The expected stock history and portfolio; see expected.py. Of the pipeline only the list of share classes is used."""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

from spark_app.universe import SHARE_CLASSES
from tests.emulator import Quote
from tests.emulator.market import NEW_YORK
from tests.integration.expected import (
    PERIODS,
    SECTORS,
    Known,
    Member,
    Rows,
    daily_prices,
    members,
    ranks,
    return_pct,
    trending_funds,
    trending_sectors,
)

WEIGHT_UNITS = 10**8


def stock_history(known: Known, tickers: Iterable[str], day: dt.date) -> Rows:
    """Rows of collected_daily_stock_history."""
    sectors = members(known, day)
    rows = daily_prices(known, tickers, day)
    for (ticker, trade_date), row in rows.items():
        quotes = {_quote_date(quote): quote for quote in known.quotes.get(ticker, ())}
        quote = quote_at(known, ticker, day)
        row["company_name"] = company_name(quote) if quote else None
        row["sector"] = SECTORS[sectors[ticker].fund]
        row["market_cap"] = quotes[trade_date].market_cap if trade_date in quotes else None
    return rows


def _quote_date(quote: Quote) -> dt.date:
    return quote.quoted_at.astimezone(NEW_YORK).date()


def company_name(quote: Quote) -> str | None:
    """The long name, else the short name, without blanks around it."""
    return (quote.long_name or quote.short_name or "").strip() or None


def quote_at(known: Known, ticker: str, day: dt.date) -> Quote | None:
    """The newest quote not after `day`, else the earliest after it."""
    quotes = sorted(known.quotes.get(ticker, ()), key=lambda quote: quote.quoted_at)
    before = [quote for quote in quotes if _quote_date(quote) <= day]
    return before[-1] if before else next(iter(quotes), None)


def market_cap(known: Known, ticker: str, day: dt.date) -> int | None:
    """The market cap on a day in USD: as reported that day, else the reported one moved by price and splits."""
    quote = quote_at(known, ticker, day)
    if quote is None or quote.market_cap is None or quote.market_cap <= 0:
        return None
    quoted_on = _quote_date(quote)
    if quoted_on == day:
        return quote.market_cap
    bar = known.bar(ticker, day)
    if bar is None or bar.close is None or quote.price is None:
        return None
    cap = quote.market_cap * bar.close / quote.price
    for event in sorted(known.events.get(ticker, ())):
        if event.ex_date > quoted_on and _is_of_shares(event.split_ratio):
            cap *= event.split_ratio
    return int(Decimal(cap).quantize(Decimal(1), ROUND_HALF_UP))


def _is_of_shares(split_ratio: float) -> bool:
    """Whether a listed split changes the number of shares; spin-offs are listed as 1253:1000."""
    return min(Fraction(split_ratio).limit_denominator(10_000).as_integer_ratio()) <= 20


def weights(caps: Mapping[str, int], max_weight: Decimal | None = None) -> dict[str, Decimal]:
    """Weights by market cap with 8 decimals and the sum 1: largest remainder, equal remainders by ticker."""
    exact = _capped(caps, None if max_weight is None else Fraction(max_weight))
    units = {ticker: math.floor(weight * WEIGHT_UNITS) for ticker, weight in exact.items()}
    by_remainder = sorted(exact, key=lambda ticker: (units[ticker] - exact[ticker] * WEIGHT_UNITS, ticker))
    for ticker in by_remainder[: WEIGHT_UNITS - sum(units.values())] if exact else ():
        units[ticker] += 1
    return {ticker: Decimal(number).scaleb(-8) for ticker, number in units.items()}


def _capped(caps: Mapping[str, int], limit: Fraction | None) -> dict[str, Fraction]:
    at_limit: set[str] = set()
    while True:
        total = sum(cap for ticker, cap in caps.items() if ticker not in at_limit)
        left = 1 - len(at_limit) * (limit or Fraction(0))
        exact = {t: limit if limit and t in at_limit else left * cap / total for t, cap in caps.items()}
        above = {ticker for ticker, weight in exact.items() if limit and weight > limit}
        if not above:
            return exact
        at_limit |= above


def portfolio(known: Known, day: dt.date) -> tuple[Rows, Rows]:
    """Rows of analytics_portfolio_allocation and of analytics_portfolio_exclusion."""
    sectors, stocks = trending_sectors(known, day), members(known, day)
    held_funds = trending_funds(known, day, known.basis)
    returns = {n: {ticker: return_pct(known, ticker, day, n) for ticker in stocks} for n in PERIODS}
    trends = {n: {t: _is_trending(returns[n][t], sectors[day, m.fund, n]) for t, m in stocks.items()} for n in PERIODS}
    candidates = [member for member in stocks.values() if member.fund in held_funds]
    caps = {m.ticker: market_cap(known, m.ticker, day) for m in candidates}
    reasons = {m.ticker: _first_reason(m.ticker, returns[known.basis], trends[known.basis], caps) for m in candidates}
    _mark(reasons, _second_classes([m for m in candidates if reasons[m.ticker] is None], day), "duplicate_issuer")
    _mark(reasons, _beyond_top(candidates, reasons, returns[known.basis], known.top_n), "below_top_n")
    shares = weights({t: cap for t, cap in caps.items() if reasons[t] is None and cap is not None}, known.max_weight)
    places = {n: _ranks_within(stocks.values(), returns[n]) for n in PERIODS}
    held: Rows = {}
    for ticker, weight in shares.items():
        fund, quote = stocks[ticker].fund, quote_at(known, ticker, day)
        assert quote is not None
        facts = {"holdings_date": stocks[ticker].snapshot_date, "quote_date": _quote_date(quote)}
        held[day, ticker] = {
            "company_name": company_name(quote),
            "sector": SECTORS[fund],
            "market_cap": caps[ticker],
            "market_cap_basis": "quoted" if _quote_date(quote) <= day else "later_quote",
            "portfolio_weight": weight,
            "is_max_weight_exceeded": False,
            **facts,
            "is_look_ahead": any(date > day for date in facts.values()),
        }
        for n in PERIODS:
            held[day, ticker] |= {
                f"return_{n}d": returns[n][ticker],
                f"sector_avg_{n}d": sectors[day, fund, n]["return_pct"],
                f"is_trending_{n}d": trends[n][ticker],
                f"rank_{n}d": places[n].get(ticker),
            }
    out: Rows = {}
    for ticker, reason in reasons.items():
        if reason is not None:
            fund, snapshot_date = stocks[ticker].fund, stocks[ticker].snapshot_date
            out[day, ticker] = {"sector": SECTORS[fund], "reason": reason}
            out[day, ticker] |= {"holdings_date": snapshot_date, "is_look_ahead": snapshot_date > day}
    return held, out


def _is_trending(value: Decimal | None, sector: Mapping[str, Any]) -> bool:
    return value is not None and sector["is_trending"] and value > sector["return_pct"]


def _first_reason(
    ticker: str, returns: Mapping[str, Decimal | None], trends: Mapping[str, bool], caps: Mapping[str, int | None]
) -> str | None:
    if returns[ticker] is None:
        return "missing_bars"
    if not trends[ticker]:
        return "not_trending"
    return "no_market_cap" if not caps[ticker] else None


def _mark(reasons: dict[str, str | None], tickers: Iterable[str], reason: str) -> None:
    reasons |= dict.fromkeys(tickers, reason)


def _second_classes(candidates: Sequence[Member], day: dt.date) -> list[str]:
    issuers = {c.ticker: c.issuer for c in SHARE_CLASSES if c.valid_from <= day < c.valid_to}
    classes = defaultdict(list)
    for member in sorted(candidates, key=lambda m: (-m.percent, m.ticker)):
        classes[issuers.get(member.ticker, member.ticker)].append(member.ticker)
    return [ticker for tickers in classes.values() for ticker in tickers[1:]]


def _beyond_top(
    candidates: Sequence[Member], reasons: Mapping[str, str | None], returns: Mapping[str, Decimal | None], top_n: int
) -> list[str]:
    left = [member for member in candidates if reasons[member.ticker] is None]
    return [ticker for ticker, rank in _ranks_within(left, returns).items() if rank > top_n]


def _ranks_within(stocks: Iterable[Member], returns: Mapping[str, Decimal | None]) -> dict[str, int]:
    by_fund: dict[str, dict[str, Decimal | None]] = defaultdict(dict)
    for member in stocks:
        by_fund[member.fund][member.ticker] = returns[member.ticker]
    return {ticker: rank for values in by_fund.values() for ticker, rank in ranks(values).items()}
