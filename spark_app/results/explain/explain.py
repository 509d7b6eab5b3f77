"""From a weight back to what it is made of: rules, returns, closes with their fetches, holdings, market cap."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import psycopg

from spark_app.errors import UsageError
from spark_app.results.explain import facts, returns, rules
from spark_app.results.explain.facts import Decision, Fetch, Restatement, Row, Snapshot
from spark_app.results.explain.returns import PeriodReturn, Starts
from spark_app.results.explain.rules import Rule, StockFacts
from spark_app.results.served import no_results
from spark_app.results.sessions import Sessions
from spark_app.stages import STAGE3, STAGE5
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.migrate import migrate
from spark_app.storage.postgres.retry import retried
from spark_app.universe import (
    ALWAYS,
    BENCHMARK,
    BENCHMARKS,
    OPEN,
    PERIODS,
    SECTOR_NAMES,
    SHARE_CLASSES,
    Rename,
    ShareClass,
    TickerSpan,
    newest_ticker,
    tickers_of,
)

Kind = Literal["position", "exclusion", "not_considered", "sector", "benchmark"]

_FUND_OF = {sector: etf for etf, sector in SECTOR_NAMES.items()}
_ALLOCATING, _COMPARING = (STAGE5.name, "republish"), (STAGE3.name, "republish")


@dataclass(frozen=True)
class MarketCap:
    """A market cap in USD.

    `basis` is `quoted`, or `later_quote` for a look-ahead quote; None, as the date and the fetch of the quote, where
    that is not stored.
    """

    usd: int
    basis: str | None
    quote_date: dt.date | None
    fetch: Fetch | None


@dataclass(frozen=True)
class Explanation:
    """Why a ticker has its weight, or none, on a date.

    Attributes:
        verdict: one sentence.
        reason: the sentence that is stored with a position or an exclusion.
        portfolio_weight: a fraction; of a sector that of its positions together; None for what is no position, and
            before the portfolio of the date is computed.
        rules: in the order in which they are applied, of a stock up to the first that is not met.
        decision: the run that computed the result, None where it is not logged.
        restatements: changes of these prices, of the sector's fund and of SPY that were noticed after the decision.
    """

    ticker: str
    name: str | None
    as_of_date: dt.date
    origin: str | None
    kind: Kind
    verdict: str
    reason: str | None
    portfolio_weight: Decimal | None
    rules: tuple[Rule, ...]
    returns: tuple[PeriodReturn, ...]
    holdings: Snapshot | None
    market_cap: MarketCap | None
    decision: Decision | None
    restatements: tuple[Restatement, ...]


@retried
def explain(
    database: Database,
    ticker: str,
    as_of: dt.date | None,
    sessions: Sessions,
    share_classes: Sequence[ShareClass] = SHARE_CLASSES,
    renames: Sequence[Rename] = (),
) -> Explanation:
    """Explain a ticker on a date that has results, None for the newest.

    Raises: DataIncompleteError: there are no results. UsageError: nothing is known of the date, or of the ticker; or
        the stock has another ticker today.
    """
    migrate(database)
    with translated_errors("reading the results"), database.connect() as connection:
        date = _date_of(connection, as_of)
        starts = {n: sessions.before(date, n) for n in PERIODS}
        if ticker in SECTOR_NAMES:
            return _explain_sector(connection, ticker, date, starts)
        if ticker in BENCHMARKS:
            return _explain_benchmark(connection, ticker, date, starts)
        return _explain_stock(connection, ticker, date, starts, share_classes, renames)


def _date_of(connection: psycopg.Connection, as_of: dt.date | None) -> dt.date:
    dates = facts.read_dates(connection)
    if not dates:
        raise no_results()
    if as_of is None or as_of in dates:
        return as_of or dates[-1]
    nearest = [*[day for day in dates if day < as_of][-1:], *[day for day in dates if day > as_of][:1]]
    raise UsageError(f"no results for {as_of}: nearest with results: {_listed(nearest)}")


def _explain_stock(
    connection: psycopg.Connection,
    ticker: str,
    date: dt.date,
    starts: Starts,
    share_classes: Sequence[ShareClass],
    renames: Sequence[Rename],
) -> Explanation:
    positions = facts.read_positions(connection, date)
    position = next((row for row in positions if row["ticker"] == ticker), None)
    exclusion = facts.read_exclusion(connection, date, ticker) if position is None else None
    decided = position or exclusion
    # A decision of before a rename was known names the ticker of its time.
    own = [TickerSpan(ticker, ALWAYS, OPEN)] if decided else []
    snapshot = _membership(connection, [*tickers_of(ticker, renames), *own], date, decided)
    history = facts.read_history(connection, ticker, date)
    if decided is None and snapshot is None:
        _require_newest_ticker(ticker, date, renames)
        if history is None:
            raise _unknown_ticker(connection, ticker)
    decision = facts.read_decision(connection, decided["run_id"] if decided else None, _ALLOCATING, date)
    etf = _FUND_OF.get(decided["sector"]) if decided else snapshot.etf_ticker if snapshot else None
    trends = {row["period_days"]: row for row in facts.read_trends(connection, date) if row["etf_ticker"] == etf}
    own_returns = returns.stock_returns(connection, ticker, date, starts, position, trends)
    basis = 20 if decision is None else decision.basis_sessions
    stock = StockFacts(
        ticker=ticker,
        as_of_date=date,
        basis_sessions=basis,
        options={} if decision is None else decision.options,
        snapshot=snapshot,
        sector_trend=trends.get(basis),
        stock_return=next(period.return_pct for period in own_returns if period.sessions == basis),
        position=position,
        exclusion=exclusion,
        positions=positions,
        share_classes=share_classes,
    )
    judged = rules.judge_stock(stock)
    named = (position or {}).get("company_name") or (history or {}).get("company_name")
    return Explanation(
        ticker=ticker,
        name=named or (snapshot.holding_name if snapshot else None),
        as_of_date=date,
        origin=facts.read_origin_of(connection),
        kind="position" if position else "exclusion" if exclusion else "not_considered",
        verdict=rules.verdict_of_stock(stock, judged),
        reason=position["allocation_reason"] if position else exclusion["detail"] if exclusion else None,
        portfolio_weight=position["portfolio_weight"] if position else None,
        rules=judged,
        returns=own_returns,
        holdings=snapshot,
        market_cap=_market_cap(connection, ticker, position, history),
        decision=decision,
        restatements=_restatements(connection, [ticker, etf or BENCHMARK, BENCHMARK], decision, date, starts),
    )


def _membership(
    connection: psycopg.Connection, tickers: Sequence[TickerSpan], date: dt.date, decided: Row | None
) -> Snapshot | None:
    """The snapshot that made a stock a member: the stored one, else the one that counts at the date."""
    if decided is None:
        return facts.read_snapshot(connection, date, tickers=tickers)
    etf = _FUND_OF.get(decided["sector"])
    return facts.read_snapshot(connection, date, tickers=tickers, etf=etf, snapshot=decided["holdings_date"])


def _market_cap(
    connection: psycopg.Connection, ticker: str, position: Row | None, history: Row | None
) -> MarketCap | None:
    if position is not None:
        quote_date = position["quote_date"]
        fetch = facts.read_quote_fetch(connection, ticker, quote_date)
        return MarketCap(position["market_cap"], position["market_cap_basis"], quote_date, fetch)
    if history is not None and history["market_cap"] is not None:
        return MarketCap(history["market_cap"], None, None, None)
    return None


def _explain_sector(connection: psycopg.Connection, etf: str, date: dt.date, starts: Starts) -> Explanation:
    sector = SECTOR_NAMES[etf]
    trends = [row for row in facts.read_trends(connection, date) if row["etf_ticker"] == etf]
    decision = facts.read_decision(connection, trends[0]["run_id"] if trends else None, _COMPARING, date)
    positions: list[Row] | None = None
    if facts.has_portfolio(connection, date):
        positions = [row for row in facts.read_positions(connection, date) if row["sector"] == sector]
    by_period = {row["period_days"]: row for row in trends}
    return Explanation(
        ticker=etf,
        name=sector,
        as_of_date=date,
        origin=facts.read_origin_of(connection),
        kind="sector",
        verdict=rules.verdict_of_sector(etf, sector, date, trends, positions),
        reason=None,
        portfolio_weight=None if positions is None else rules.weight_of(positions),
        rules=tuple(rules.sector_rule(row) for row in trends),
        returns=returns.sector_returns(connection, etf, date, starts, by_period),
        holdings=facts.read_snapshot(connection, date, etf=etf),
        market_cap=None,
        decision=decision,
        restatements=_restatements(connection, [etf, BENCHMARK], decision, date, starts),
    )


def _explain_benchmark(connection: psycopg.Connection, ticker: str, date: dt.date, starts: Starts) -> Explanation:
    trends = facts.read_trends(connection, date)
    decision = facts.read_decision(connection, trends[0]["run_id"], _COMPARING, date)
    return Explanation(
        ticker=ticker,
        name=None,
        as_of_date=date,
        origin=facts.read_origin_of(connection),
        kind="benchmark",
        verdict=rules.verdict_of_benchmark(ticker, date),
        reason=None,
        portfolio_weight=None,
        rules=rules.benchmark_rules(trends) if ticker == BENCHMARK else (),
        returns=returns.benchmark_returns(connection, ticker, date, starts, trends),
        holdings=None,
        market_cap=None,
        decision=decision,
        restatements=_restatements(connection, [ticker], decision, date, starts),
    )


def _restatements(
    connection: psycopg.Connection, tickers: Sequence[str], decision: Decision | None, date: dt.date, starts: Starts
) -> tuple[Restatement, ...]:
    if decision is None:
        return ()
    days = [date, *(day for day in starts.values() if day is not None)]
    return facts.read_restatements(connection, tickers, decision.finished_at or decision.started_at, days)


def _require_newest_ticker(ticker: str, date: dt.date, renames: Sequence[Rename]) -> None:
    own = sorted((rename for rename in renames if rename.old == ticker), key=lambda rename: rename.date)
    if not own:
        return
    rename = next((rename for rename in own if rename.date > date), own[-1])
    # A stock may have got an earlier ticker back.
    if (newest := newest_ticker(rename, renames)) != ticker:
        raise UsageError(f"{ticker} was renamed on {rename.date} (corrections.renames): explain {newest} instead")


def _unknown_ticker(connection: psycopg.Connection, ticker: str) -> UsageError:
    known = facts.read_tickers(connection)
    # Of short texts difflib finds few alike: those with the same beginning follow.
    alike = [*difflib.get_close_matches(ticker, known, n=5), *(t for t in known if t[:2] == ticker[:2])]
    nearest = list(dict.fromkeys(alike))[:5]
    if not nearest:
        return UsageError(f"unknown ticker {ticker}: nothing is served for it; use one that `show` prints")
    return UsageError(f"unknown ticker {ticker}: nothing is served for it; nearest: {_listed(nearest)}")


def _listed(parts: Sequence[object]) -> str:
    return ", ".join(map(str, parts))
