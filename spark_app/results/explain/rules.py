"""The rules that put a ticker in or out, each as one sentence with its numbers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from spark_app.results.explain.facts import Row, Snapshot
from spark_app.universe import BENCHMARK, ShareClass

_RULE_OF = {
    "missing_bars": "returns",
    "not_trending": "trend",
    "no_market_cap": "market cap",
    "duplicate_issuer": "share class",
    "below_top_n": "top of sector",
}
"""The reason of an exclusion -> the rule that is not met."""


@dataclass(frozen=True)
class Rule:
    """One rule, whether it is met, and the sentence that says so."""

    name: str
    is_met: bool
    sentence: str


@dataclass(frozen=True)
class StockFacts:
    """What the rules of a stock are judged by; rows are those of the served tables.

    `sector_trend` is that of the basis period, `stock_return` the stock's return over it in percent.
    """

    ticker: str
    as_of_date: dt.date
    basis_sessions: int
    options: Mapping[str, Any]
    snapshot: Snapshot | None
    sector_trend: Row | None
    stock_return: Decimal | None
    position: Row | None
    exclusion: Row | None
    positions: Sequence[Row]
    share_classes: Sequence[ShareClass]


def judge_stock(stock: StockFacts) -> tuple[Rule, ...]:
    """List the rules in their order, up to the first that is not met."""
    rules = [_membership(stock), _sector_trend(stock)]
    if stock.exclusion is not None:
        failed = _RULE_OF[stock.exclusion["reason"]]
        rules += [rule for rule in _own_rules(stock, until=failed) if rule is not None]
        rules.append(Rule(failed, False, stock.exclusion["detail"]))
    elif stock.position is not None:
        rules += [rule for rule in (*_own_rules(stock), _weight(stock)) if rule is not None]
    judged: list[Rule] = []
    for rule in rules:
        judged.append(rule)
        if not rule.is_met:
            break
    return tuple(judged)


def _membership(stock: StockFacts) -> Rule:
    held = stock.snapshot
    if held is None:
        decided = stock.position or stock.exclusion
        if decided is not None:
            return Rule("member", True, f"a holding of the fund of {decided['sector']}, whose snapshot is not served")
        return Rule("member", False, f"{stock.ticker} is in no sector fund's known holdings of {stock.as_of_date}")
    look_ahead = "; look-ahead: the snapshot is dated after the as-of date" if held.is_look_ahead else ""
    old_ticker = "" if held.holding_ticker == stock.ticker else f" as {held.holding_ticker}"
    return Rule(
        "member",
        True,
        f"number {held.holding_rank} of the {held.holdings} known holdings of {held.etf_ticker} on"
        f" {held.snapshot_date}{old_ticker}, {percent(held.holding_percent)} of the fund; together they are"
        f" {percent(held.coverage_percent)} of it{look_ahead}",
    )


def _sector_trend(stock: StockFacts) -> Rule:
    trend = stock.sector_trend
    if trend is None:
        return Rule("sector trends", False, f"no trend over {stock.basis_sessions} sessions is served for its sector")
    return sector_rule(trend, name="sector trends")


def sector_rule(trend: Row, name: str = "") -> Rule:
    """Say whether a sector trends over a period; `trend` is its row of analytics_trending_sectors."""
    etf, n, own, other = trend["etf_ticker"], trend["period_days"], trend["return_pct"], trend["benchmark_return_pct"]
    name = name or f"trends over {n} sessions"
    if own is None:
        return Rule(name, False, f"no return of {etf} over {n} sessions: {trend['unavailable_reason']}")
    compared = f"{etf} returned {signed(own)} over {n} sessions, {BENCHMARK} {signed(other)}"
    if trend["is_trending"]:
        return Rule(name, True, f"{compared}: above {BENCHMARK} and above 0; rank {trend['rank']} of the sectors")
    missed = [f"above {BENCHMARK}"] if own <= other else []
    missed += ["above 0"] if own <= 0 else []
    return Rule(name, False, f"{compared}: not {' and not '.join(missed)}; rank {trend['rank']} of the sectors")


def _own_rules(stock: StockFacts, until: str = "") -> list[Rule | None]:
    """The rules of the stock itself that are met, up to the one that is not."""
    rules: list[Rule | None] = []
    for name, rule in (
        ("returns", None),
        ("trend", _trend(stock)),
        ("market cap", _market_cap(stock)),
        ("share class", _share_class(stock)),
        ("top of sector", _top_of_sector(stock)),
    ):
        if name == until:
            break
        rules.append(rule)
    return rules


def _trend(stock: StockFacts) -> Rule | None:
    own, trend = stock.stock_return, stock.sector_trend
    if own is None or trend is None or trend["return_pct"] is None:
        return None
    n = stock.basis_sessions
    rank = "" if stock.position is None else f"; rank {stock.position[f'rank_{n}d']} of the sector's members"
    compared = f"{signed(own)} over {n} sessions is above the {signed(trend['return_pct'])} of {trend['etf_ticker']}"
    return Rule("trend", True, f"{compared}{rank}")


def _market_cap(stock: StockFacts) -> Rule | None:
    if stock.position is None:
        return None
    look_ahead = stock.position["market_cap_basis"] == "later_quote"
    basis = "; look-ahead: of a quote after the as-of date" if look_ahead else ""
    return Rule("market cap", True, f"{stock.position['market_cap']:,} USD{basis}")


def _share_class(stock: StockFacts) -> Rule | None:
    day = stock.as_of_date
    for own in stock.share_classes:
        if own.ticker == stock.ticker and own.valid_from <= day < own.valid_to:
            if stock.position is None:
                return None
            return Rule("share class", True, f"{own.issuer} is held through {stock.ticker} alone")
    return None


def _top_of_sector(stock: StockFacts) -> Rule | None:
    own, n = stock.position, stock.basis_sessions
    if own is None:
        return None
    # Python orders text by its characters, as Spark does.
    in_sector = [row for row in stock.positions if row["sector"] == own["sector"]]
    best_first = sorted(in_sector, key=lambda row: (-row[f"return_{n}d"], row["ticker"]))
    place = [row["ticker"] for row in best_first].index(stock.ticker) + 1
    most = stock.options.get("top_n_per_sector")
    limit = "" if most is None else f"; at most {most} are held"
    return Rule("top of sector", True, f"number {place} of the {len(in_sector)} positions of {own['sector']}{limit}")


def _weight(stock: StockFacts) -> Rule | None:
    own = stock.position
    if own is None:
        return None
    share = Decimal(100) * own["market_cap"] / own["total_market_cap"]
    text = f"{percent(own['portfolio_weight'] * 100)} of the portfolio: its market cap is {percent(share)} of the"
    text += f" {own['total_market_cap']:,} USD of all {own['positions']} positions"
    most = stock.options.get("max_weight")
    if own["is_max_weight_exceeded"]:
        text += f"; too few positions for a largest weight of {most}, so all weights are equal"
    elif most is not None:
        text += f"; no weight is above {percent(Decimal(str(most)) * 100)}, the excess is distributed among the others"
    return Rule("weight", True, text)


def benchmark_rules(trends: Sequence[Row]) -> tuple[Rule, ...]:
    """Say for each period which sectors are ahead of SPY."""
    found = []
    for n in sorted({row["period_days"] for row in trends}):
        rows = [row for row in trends if row["period_days"] == n]
        compared = [row for row in rows if row["return_pct"] is not None]
        ahead = [row["etf_ticker"] for row in compared if row["return_pct"] > row["benchmark_return_pct"]]
        trending = sorted(row["etf_ticker"] for row in rows if row["is_trending"])
        text = f"{len(ahead)} of {len(rows)} sectors returned more than {BENCHMARK}; trending: "
        text += ", ".join(trending) or "none"
        found.append(Rule(f"over {n} sessions", True, text))
    return tuple(found)


def verdict_of_stock(stock: StockFacts, rules: Sequence[Rule]) -> str:
    """Say in one sentence what became of a stock."""
    place = f"{stock.ticker} on {stock.as_of_date}"
    if stock.position is not None:
        weight = percent(stock.position["portfolio_weight"] * 100)
        return f"{place}: position in {stock.position['sector']}, weight {weight}"
    if stock.exclusion is not None:
        return f"{place}: excluded ({stock.exclusion['reason']}), {stock.exclusion['sector']}"
    missed = next((rule.name for rule in rules if not rule.is_met), None)
    if missed == "sector trends" and stock.snapshot is not None:
        reason = f"{stock.snapshot.sector} does not trend over {stock.basis_sessions} sessions"
    elif missed == "member":
        reason = "it is in no sector fund's known holdings"
    else:
        reason = "no portfolio of the date has considered it yet"
    return f"{place}: not considered, {reason}"


def verdict_of_sector(
    etf: str, sector: str, as_of: dt.date, trends: Sequence[Row], positions: Sequence[Row] | None
) -> str:
    """Say in one sentence over which periods a sector trends, and what the portfolio has of it (None: not computed)."""
    trending = [str(row["period_days"]) for row in trends if row["is_trending"]]
    over = f"trends over {', '.join(trending)} sessions" if trending else "does not trend"
    held = "no portfolio of the date yet"
    if positions is not None:
        held = f"{len(positions)} positions with {percent(weight_of(positions) * 100)} of the portfolio"
    return f"{etf} on {as_of}: {sector} {over}; {held}"


def weight_of(positions: Sequence[Row]) -> Decimal:
    """Return the weight of some positions together, a fraction."""
    return sum((row["portfolio_weight"] for row in positions), Decimal(0))


def verdict_of_benchmark(ticker: str, as_of: dt.date) -> str:
    """Say in one sentence what a benchmark is for."""
    use = "what sectors are compared with" if ticker == BENCHMARK else "collected for comparison, nothing depends on it"
    return f"{ticker} on {as_of}: benchmark, {use}"


def percent(value: Decimal) -> str:
    """Write a percentage, with up to 6 decimals."""
    return f"{value:.6f}".rstrip("0").rstrip(".") + " %"


def signed(value: Decimal | None) -> str:
    """Write a return in percent, with its sign and all 6 stored decimals; n/a without one."""
    return "n/a" if value is None else f"{value:+.6f} %"
