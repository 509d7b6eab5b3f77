"""Reading the facts of a backtest from staging, and refusing what they cannot answer."""

from __future__ import annotations

import datetime as dt

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_app import market_calendar
from spark_app.backtest.market import asked_sessions, how_to_get
from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import Schedule
from spark_app.backtest.signals.facts import Facts, StockFacts
from spark_app.backtest.signals.stocks import Members
from spark_app.config.installation import LAUNCHER
from spark_app.config.settings import DataOrigin
from spark_app.errors import DataIncompleteError
from spark_app.ingestion.current import read_bars, read_holdings, read_index_membership, read_quotes
from spark_app.pipeline.run import Run
from spark_app.stages.stage5_portfolio_allocation import measured_bars, share_classes_of
from spark_app.transforms.measured_splits import is_listed_split

_PRICES = ("ticker", "trade_date", "open_price", "close_price", "adj_close_price")
_OF_CAPS = ("split_ratio", "fetched_at")


def fund_bars(run: Run, plan: Plan) -> DataFrame:
    """Read the current bars of the benchmark and the funds."""
    return read_bars(run).where(F.col("ticker").isin(list(plan.universe.tickers))).select(*_PRICES)


def read_facts(run: Run, plan: Plan, schedule: Schedule) -> Facts:
    """Read what the signals of a plan are computed from; its bars are to be persisted.

    Raises: DataIncompleteError: facts of the time are missing; says what to do.
    """
    first, last = schedule.all_sessions[0], schedule.sessions[-1]
    if plan.level == "sectors":
        return Facts(fund_bars(run, plan).where(F.col("trade_date").between(first, last)))
    is_read = F.col("trade_date").between(first, last)
    if plan.has_caps:
        # A split of any day: before the first session it scales the market cap of an earlier quote.
        is_read |= is_listed_split(F.col("split_ratio"))
        bars = measured_bars(run).where(is_read).select(*_PRICES, *_OF_CAPS)
    else:
        bars = read_bars(run).where(is_read).select(*_PRICES)
    stocks = StockFacts(
        holdings=read_holdings(run),
        quotes=read_quotes(run),
        share_classes=share_classes_of(run),
        index_members=read_index_membership(run),
        renames=run.settings.corrections.renames_in_force,
    )
    _require_stock_facts(plan, schedule, stocks, run.settings.data_origin)
    return Facts(bars, stocks)


def require_priced_members(schedule: Schedule, members: Members | None, origin: DataOrigin) -> None:
    """Refuse a backtest of stocks without a price of any of them.

    Raises: DataIncompleteError.
    """
    if members is not None and members.members == members.unpriced > 0:
        job = f"stage4_stock_history --universe all {asked_sessions(schedule)}"
        raise DataIncompleteError(
            f"prices are missing of all {members.unpriced_tickers} stocks that the chosen sectors had:"
            f" {how_to_get(job, origin)}"
        )


def _require_stock_facts(plan: Plan, schedule: Schedule, stocks: StockFacts, origin: DataOrigin) -> None:
    holdings = stocks.holdings.where(F.col("etf_ticker").isin(list(plan.universe.sectors)))
    snapshot = _first(holdings, "snapshot_date")
    if snapshot is None:
        raise DataIncompleteError(f"no holdings of any fund are staged: {how_to_get('stage2_etf_holdings', origin)}")
    quote = _first(stocks.quotes, "quote_date") if plan.has_caps else None
    if plan.has_caps and quote is None:
        raise DataIncompleteError(
            f"no market caps are staged: {how_to_get('stage4_stock_history', origin)}, or use --weighting equal"
        )
    if plan.is_look_ahead_allowed:
        return
    needed = schedule.rebalances[0]
    for what, first in (("holdings", snapshot), ("market caps", quote)):
        if first is not None and first > needed:
            raise DataIncompleteError(
                f"{what} of {needed} are needed, but the first that are staged are of {first}, and nobody can go by"
                f" what was not known: {_ways_out(plan, what, first)}"
            )


def _first(facts: DataFrame, date: str) -> dt.date | None:
    row = facts.agg(F.min(date)).first()
    return None if row is None else row[0]


def _ways_out(plan: Plan, what: str, first: dt.date) -> str:
    begin = market_calendar.sessions_between(first, first + dt.timedelta(days=14))[1]
    ways = [f"use --from {begin} or later"] if begin <= plan.last else []
    ways += ["--weighting equal"] if what == "market caps" else []
    ways += [f"import those of the time with {LAUNCHER} import_files (docs/FILES.md)"]
    return ", or ".join([*ways, "let later ones stand in with --look-ahead allow, which counts them"])
