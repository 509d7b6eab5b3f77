"""Backtests of stocks: targets, look-ahead and values against plain Python, one date at a time."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_app.backtest.ledger import work_out_ledger
from spark_app.backtest.outcome import STRATEGY, work_out
from spark_app.backtest.plan import Level, Plan
from spark_app.backtest.schedule import calendar_sessions, make_schedule
from spark_app.backtest.signals.compute import signals
from spark_app.backtest.signals.facts import Facts
from spark_app.backtest.signals.probe import probe
from spark_app.errors import SparkAppError
from spark_app.transforms.rotation import SectorChoice
from tests.backtest import independent
from tests.backtest.independent_stocks import Market, Rules, portfolio
from tests.backtest.stock_markets import SESSIONS, UNIVERSE, facts_of, small_market
from tests.transforms.frames import frame

PLAN = Plan(
    SESSIONS[26],
    SESSIONS[-1],
    UNIVERSE,
    level="stocks",
    rebalance="weekly",
    choice=SectorChoice(10, (10,), 2),
    weighting="market_cap",
    top_n_per_sector=2,
)
SCHEDULE = make_schedule(PLAN, calendar_sessions(PLAN))

Targets: TypeAlias = dict[dt.date, dict[str, float]]
Later: TypeAlias = dict[dt.date, dict[str, set[str]]]


@pytest.fixture(scope="module")
def world(spark: SparkSession) -> tuple[Market, pd.DataFrame, Facts]:
    market, opens = small_market()
    facts = facts_of(spark, market, opens)
    facts.bars.persist()
    return market, opens, facts


def _expected(
    market: Market, rules: Rules
) -> tuple[dict[dt.date, dict[str, float]], dict[dt.date, dict[str, set[str]]]]:
    found = {day: portfolio(market, rules, day) for day in SCHEDULE.rebalances}
    later = {day: {t: kinds for t, kinds in facts.items() if kinds} for day, (_, facts) in found.items()}
    return {day: weights for day, (weights, _) in found.items()}, {day: kinds for day, kinds in later.items() if kinds}


@pytest.mark.parametrize("weighting", ["market_cap", "equal"])
@pytest.mark.parametrize("allows", [False, True])
def test_targets_and_later_facts_agree_with_plain_python(
    world: tuple[Market, pd.DataFrame, Facts], weighting: str, allows: bool
) -> None:
    market, _, facts = world
    found = signals(replace(PLAN, weighting=weighting, is_look_ahead_allowed=allows), SCHEDULE, facts)
    rules = Rules(10, 2, 2, allows_look_ahead=allows, weighting=weighting)
    targets, later = _expected(market, rules)
    assert any(len(weights) > 2 for weights in targets.values())
    assert found.targets == targets
    told = {day: {t: set(kinds) for t, kinds in of_day.items()} for day, of_day in found.later_facts.items()}
    assert told == later
    assert bool(later) is (allows and weighting == "market_cap")


def test_values_agree_with_the_independent_engine(world: tuple[Market, pd.DataFrame, Facts]) -> None:
    market, opens, facts = world
    outcome = work_out(PLAN, SCHEDULE, facts.bars, signals(PLAN, SCHEDULE, facts))
    targets, _ = _expected(market, Rules(10, 2, 2))
    days = list(SCHEDULE.sessions)
    by_date, trades = independent.run(
        market.adjusted.loc[days], opens.loc[days], targets, execution="next_open", cost_bps=10
    )
    path = outcome.paths[STRATEGY]
    np.testing.assert_allclose(path.values, by_date["value"], rtol=1e-9)
    np.testing.assert_allclose(path.weights, by_date[list(outcome.prices.tickers)], atol=1e-9)
    np.testing.assert_allclose([trade.cost for trade in path.trades], trades["cost"], atol=1e-9)


def test_signals_know_nothing_of_the_future(world: tuple[Market, pd.DataFrame, Facts]) -> None:
    _, _, facts = world
    found = probe(PLAN, SCHEDULE, facts, signals(PLAN, SCHEDULE, facts))
    assert found.signals == len(SCHEDULE.rebalances) // 2 + 1


def test_the_probe_finds_that_allowed_look_ahead_looks_ahead(world: tuple[Market, pd.DataFrame, Facts]) -> None:
    _, _, facts = world
    allowed = replace(PLAN, first=SESSIONS[11], is_look_ahead_allowed=True)
    schedule = make_schedule(allowed, calendar_sessions(allowed))
    schedule = replace(schedule, rebalances=tuple(day for day in schedule.rebalances if day < SESSIONS[40]))
    with pytest.raises(SparkAppError, match="look ahead"):
        probe(allowed, schedule, facts, signals(allowed, schedule, facts))


@pytest.mark.parametrize("level", ["sectors", "stocks"])
def test_all_is_cash_while_everything_falls(world: tuple[Market, pd.DataFrame, Facts], level: Level) -> None:
    _, _, facts = world
    falling = facts.bars.withColumn("adj_close_price", 1e6 - F.unix_date("trade_date"))
    of_level = replace(facts, bars=falling, stocks=facts.stocks if level == "stocks" else None)
    found = signals(replace(PLAN, level=level, weighting="equal"), SCHEDULE, of_level)
    assert found.targets == {date: {} for date in SCHEDULE.rebalances}


@pytest.mark.parametrize("level", ["sectors", "stocks"])
def test_nothing_is_traded_without_the_benchmark(world: tuple[Market, pd.DataFrame, Facts], level: Level) -> None:
    _, _, facts = world
    others = facts.bars.where("ticker != 'SPY'")
    of_level = replace(facts, bars=others, stocks=facts.stocks if level == "stocks" else None)
    assert signals(replace(PLAN, level=level, weighting="equal"), SCHEDULE, of_level).targets == {}


def test_sectors_without_holdings_of_the_time_are_counted(world: tuple[Market, pd.DataFrame, Facts]) -> None:
    _, _, facts = world
    assert facts.stocks is not None
    later = facts.stocks.holdings.where(F.col("snapshot_date") > SESSIONS[-1])
    found = signals(PLAN, SCHEDULE, replace(facts, stocks=replace(facts.stocks, holdings=later)))
    assert found.targets == {date: {} for date in SCHEDULE.rebalances}
    assert found.members is not None
    assert found.members.empty_sectors == found.members.sectors > 0


def test_who_is_not_in_the_index_is_not_held(spark: SparkSession, world: tuple[Market, pd.DataFrame, Facts]) -> None:
    market, _, facts = world
    assert facts.stocks is not None
    everybody, _ = _expected(market, Rules(10, 2, 2))
    *before, left = [day for day, weights in everybody.items() if "S3" in weights]
    assert before
    assert any("S1" in weights for weights in everybody.values())
    rows = [(stock, dt.date(2000, 1, 1), left if stock == "S3" else None) for stock in market.closes if stock != "S1"]
    index = frame(spark, rows, "ticker string, start_date date, end_date date")
    found = signals(PLAN, SCHEDULE, replace(facts, stocks=replace(facts.stocks, index_members=index)))
    assert "S1" not in found.tickers
    assert [day for day, weights in found.targets.items() if "S3" in weights] == before


def test_the_ledger_counts_what_stands_on_later_facts(world: tuple[Market, pd.DataFrame, Facts]) -> None:
    market, _, facts = world
    plan = replace(PLAN, is_look_ahead_allowed=True)
    outcome = work_out(plan, SCHEDULE, facts.bars, signals(plan, SCHEDULE, facts))
    path = outcome.paths[STRATEGY]
    entries = {entry.entry: entry for entry in work_out_ledger(outcome.prices, outcome.signals, path)}
    _, later = _expected(market, Rules(10, 2, 2, allows_look_ahead=True))
    days, weight, all_days, all_weight = 0, 0.0, 0, 0.0
    for number in range(len(SCHEDULE.sessions)):
        decided = [trade.decided for trade in path.trades if trade.traded <= number]
        if not decided:
            continue
        marked = later.get(SCHEDULE.sessions[decided[-1]], {})
        for ticker, held in zip(outcome.prices.tickers, path.weights[number], strict=True):
            all_days, all_weight = all_days + (held > 0), all_weight + held
            if held > 0 and ticker in marked:
                days, weight = days + 1, weight + held
    assert (entries["any_fact"].counted, entries["any_fact"].total) == (days, all_days)
    assert entries["any_fact"].weight_frac == pytest.approx(weight / all_weight)
    assert (entries["market_caps"].tickers, entries["holdings"].counted) == (1, 0)
    assert entries["members_without_prices"].tickers == 2  # GONE, and S7 when it has ended
