"""Backtests of random markets, without Spark: by the engine and the statistics, from targets made here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from spark_app import market_calendar
from spark_app.backtest.details import work_out_details
from spark_app.backtest.engine import Prices, simulate
from spark_app.backtest.grid import GRID_REBALANCES, Cell, Grid
from spark_app.backtest.outcome import BENCHMARK, EQUAL_WEIGHT, STRATEGY, Outcome, summarise
from spark_app.backtest.output.findings import findings_of
from spark_app.backtest.output.rows import Tables
from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import make_schedule
from spark_app.backtest.signals.compute import Signals, equal_targets, numbered_targets
from spark_app.results.backtest.facts import Facts, Origin, facts_of
from spark_app.schemas import BACKTEST_LEDGER
from spark_app.universe import PERIODS

MADE_AT = dt.datetime(2024, 1, 2, 6, 30, tzinfo=dt.UTC)
FIRST, LAST = dt.date(2016, 1, 4), dt.date(2023, 12, 29)
GRID = Grid(
    tuple(
        Cell(basis, rebalance, 0.0871 - n / 50, 0.52 - n / 30, float("nan") if n == 8 else -0.11, 86.2 / (n + 1))
        for n, (basis, rebalance) in enumerate((basis, name) for basis in PERIODS for name in GRID_REBALANCES)
    ),
    deflated_sharpe=0.3127,
    overfitting_probability=float("nan"),
)
LEDGER = (
    {"entry": "holdings", "counted": 8_125, "total": 10_000, "share_pct": 81.25, "weight_pct": 70.0, "tickers": 9},
    {"entry": "any_fact", "counted": 12_345, "total": 12_345, "share_pct": 100.0, "weight_pct": 100.0, "tickers": 12},
    {
        "entry": "members_without_prices",
        "counted": 40,
        "total": 1_000,
        "share_pct": 4.0,
        "weight_pct": None,
        "tickers": 3,
    },
)


def market_outcome(
    *, first: dt.date = FIRST, last: dt.date = LAST, drift: float = 0.0004, seed: int = 15, **changes: Any
) -> Outcome:
    """Hold the three funds with the best month, from daily prices of the plan's universe; `drift` is of a session."""
    plan = replace(Plan(first, last), **changes)
    sessions = market_calendar.sessions_between(first - dt.timedelta(days=60), last + dt.timedelta(days=7))
    schedule = make_schedule(plan, sessions)
    tickers = tuple(sorted(plan.universe.tickers))
    random = np.random.default_rng(seed)
    shape = (len(schedule.sessions), len(tickers))
    steps = random.normal(drift, 0.009, (shape[0], 1)) + random.normal(0, 0.006, shape)
    closes = 100 * np.exp(steps.cumsum(axis=0))
    prices = Prices(schedule.sessions, tickers, closes, closes * np.exp(random.normal(0, 0.002, shape)))
    funds = [n for n, ticker in enumerate(tickers) if ticker != plan.universe.benchmark]
    place = {session: n for n, session in enumerate(schedule.sessions)}
    targets: dict[dt.date, Mapping[str, float]] = {}
    for date in schedule.rebalances:
        n = place[date]
        returns = closes[n, funds] / closes[max(n - 20, 0), funds] - 1
        best = [tickers[funds[k]] for k in np.argsort(-returns)[:3] if returns[k] > 0]
        targets[date] = {ticker: round(1 / len(best), 8) for ticker in best}
    dates = sorted(targets)
    wanted = {
        STRATEGY: numbered_targets(prices, targets),
        EQUAL_WEIGHT: equal_targets(prices, dates, list(plan.universe.sectors)),
        BENCHMARK: numbered_targets(prices, {date: {plan.universe.benchmark: 1.0} for date in dates}),
    }
    paths = {series: simulate(prices, of_series, plan.rules) for series, of_series in wanted.items()}
    return Outcome(plan, schedule, prices, Signals(targets), paths)


def found_in(outcome: Outcome, grid: Grid | None = None) -> Tables:
    return findings_of(outcome, summarise(outcome), work_out_details(outcome), grid, MADE_AT.date())


def origin_of(**changes: Any) -> Origin:
    origin = Origin(
        run_id="20240102T063000Z-0a1b2c3d",
        code_version="0.4.0",
        made_at=MADE_AT,
        data_origin="real",
        is_stored=True,
        staging_versions={"bars": 12},
    )
    return replace(origin, **changes)


def plain_facts(**changes: Any) -> Facts:
    """A monthly backtest of eight years, without a grid."""
    return facts_of(found_in(market_outcome(**changes)), origin_of())


def full_facts() -> Facts:
    """Everything that a page may have to mark: synthetic, unattainable, look-ahead, a grid, a probe."""
    outcome = market_outcome(execution="same_close", cost_bps=12.5, rebalance="weekly", drift=-0.0004)
    found = {
        **found_in(outcome, GRID),
        BACKTEST_LEDGER.name: list(LEDGER),
        "probe": [{"cut_date": dt.date(2020, 1, 2), "signals": 209}],
    }
    return facts_of(found, origin_of(data_origin="synthetic", is_stored=False, universe_file="my <funds>.toml"))
