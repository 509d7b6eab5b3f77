"""The signals of all rebalances in one pass of Spark, by the transforms of the daily run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_app.backtest.engine import Numbers, Prices
from spark_app.backtest.market import sessions_frame
from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import Schedule
from spark_app.backtest.signals.facts import Facts
from spark_app.backtest.signals.stocks import Members, Stocks, prepare_stocks, stock_signals
from spark_app.backtest.signals.tables import distinct_rows, read_rows
from spark_app.transforms.rotation import SectorChoice, chosen_sectors, target_weights
from spark_app.transforms.trends import sector_trends

_UNITS = 10**8


@dataclass(frozen=True)
class Signals:
    """The target weights of each date on which something is traded; without any position all is cash.

    Attributes:
        later_facts: the positions that stand on facts dated later, with the kinds of these.
        members: of stocks, what could not be judged.
    """

    targets: Mapping[dt.date, Mapping[str, float]]
    later_facts: Mapping[dt.date, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    members: Members | None = None

    @property
    def tickers(self) -> set[str]:
        """Every ticker that is a position on any date."""
        return {ticker for weights in self.targets.values() for ticker in weights}


def signals(plan: Plan, schedule: Schedule, facts: Facts) -> Signals:
    """Choose and weight what is held on each rebalance date; the dates without the benchmark's returns are left out."""
    (found,) = signals_of([plan.choice], schedule.rebalances, plan, schedule, facts)
    return found


def signals_of(
    choices: Sequence[SectorChoice], dates: Sequence[dt.date], plan: Plan, schedule: Schedule, facts: Facts
) -> list[Signals]:
    """Choose and weight what is held on some sessions by several rules: of funds in one pass, of stocks in one each.

    Args:
        choices: instead of that of the plan; their periods are within the schedule's warm-up.
    """
    sessions, asked = sessions_frame(facts.bars, schedule.all_sessions), _dates_frame(facts.bars, dates)
    of_funds = facts.bars.where(F.col("ticker").isin(list(plan.universe.tickers)))
    closes = of_funds.select("ticker", "trade_date", "adj_close_price")
    periods = sorted({period for choice in choices for period in choice.periods})
    with ThreadPoolExecutor() as beside:
        # The trends of a few funds leave Spark time for it.
        preparing = beside.submit(_prepared, plan, dates, sessions, facts)
        trends = sector_trends(closes, sessions, asked, periods=periods, universe=plan.universe)
        if facts.stocks is not None:
            # Read for the choice and for what stocks are compared with.
            trends = trends.localCheckpoint(eager=False)
        judged = chosen_sectors(trends, choices).toArrow()
        stocks = preparing.result()
    dates_of_choices = _traded(judged, choices)
    chosen = judged.filter(pc.field("is_chosen")).select(["choice_number", "as_of_date", "ticker"])
    if stocks is None:
        targets = _fund_targets(len(choices), chosen, plan, closes, sessions)
        return [Signals(dates | of_choice) for dates, of_choice in zip(dates_of_choices, targets, strict=True)]
    found = []
    for number, dates_of_choice in enumerate(dates_of_choices):
        held = chosen.filter(pc.field("choice_number") == number).select(["as_of_date", "ticker"])
        held = held.rename_columns(["as_of_date", "etf_ticker"])
        of_choice = stock_signals(replace(plan, choice=choices[number]), trends, held, stocks)
        found.append(Signals(dates_of_choice | of_choice.targets, of_choice.later_facts, of_choice.members))
    return found


def _prepared(plan: Plan, dates: Sequence[dt.date], sessions: DataFrame, facts: Facts) -> Stocks | None:
    return None if facts.stocks is None else prepare_stocks(plan, dates, sessions, facts.bars, facts.stocks)


def _traded(judged: pa.Table, choices: Sequence[SectorChoice]) -> list[dict[dt.date, dict[str, float]]]:
    """The dates on which each choice can be made, all in cash."""
    found: list[dict[dt.date, dict[str, float]]] = [{} for _ in choices]
    for number, date in distinct_rows(judged.filter(pc.field("is_comparable")), "choice_number", "as_of_date"):
        found[number][date] = {}
    return found


def _fund_targets(
    count: int, chosen: pa.Table, plan: Plan, closes: DataFrame, sessions: DataFrame
) -> list[dict[dt.date, dict[str, float]]]:
    """The weights of the chosen funds, by choice and date."""
    held = closes.sparkSession.createDataFrame(chosen)
    weights = target_weights(held, plan.weighting, closes, sessions, max_weight=plan.max_weight)
    weight = F.col("target_weight").cast("double").alias("target_weight")
    found = weights.select("choice_number", "as_of_date", "ticker", weight).toArrow()
    targets: list[dict[dt.date, dict[str, float]]] = [{} for _ in range(count)]
    for number, date, ticker, target in read_rows(found, "choice_number", "as_of_date", "ticker", "target_weight"):
        targets[number].setdefault(date, {})[ticker] = target
    return targets


def equal_targets(prices: Prices, dates: Sequence[dt.date], funds: Sequence[str]) -> dict[int, Numbers]:
    """Equal weights of the funds with a price on each date, with eight decimals by the largest remainder."""
    place = {session: n for n, session in enumerate(prices.sessions)}
    columns = [prices.tickers.index(fund) for fund in sorted(funds)]
    targets = {}
    for date in dates:
        priced = [column for column in columns if not np.isnan(prices.closes[place[date], column])]
        weights = np.zeros(len(prices.tickers))
        if priced:
            units, rest = divmod(_UNITS, len(priced))
            # Remainders are equal, so ties go by ticker.
            weights[priced] = [(units + (n < rest)) / _UNITS for n in range(len(priced))]
        targets[place[date]] = weights
    return targets


def numbered_targets(prices: Prices, targets: Mapping[dt.date, Mapping[str, float]]) -> dict[int, Numbers]:
    """Targets as the engine takes them: by the place of a session, in the order of the tickers."""
    place = {session: n for n, session in enumerate(prices.sessions)}
    return {
        place[date]: np.array([weights.get(ticker, 0.0) for ticker in prices.tickers])
        for date, weights in targets.items()
    }


def _dates_frame(bars: DataFrame, dates: Sequence[dt.date]) -> DataFrame:
    return bars.sparkSession.createDataFrame(pa.table({"as_of_date": pa.array(dates, pa.date32())}))
