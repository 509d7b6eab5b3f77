"""The signals of all rebalances in one pass of Spark, by the transforms of the daily run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_app.backtest.engine import Numbers, Prices
from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import Schedule
from spark_app.transforms.rotation import SectorChoice, chosen_sectors, with_inverse_volatility, with_target_weight
from spark_app.transforms.trends import sector_trends

_UNITS = 10**8


@dataclass(frozen=True)
class Signals:
    """The target weights of each date on which something is traded; without any position all is cash."""

    targets: Mapping[dt.date, Mapping[str, float]]

    @property
    def tickers(self) -> set[str]:
        """Every ticker that is a position on any date."""
        return {ticker for weights in self.targets.values() for ticker in weights}


def sector_signals(plan: Plan, schedule: Schedule, bars: DataFrame) -> Signals:
    """Choose and weight the funds on each rebalance date; the dates without the benchmark's returns are left out.

    Columns in: `bars` are current, of the universe: ticker, trade_date, adj_close_price, up to the last session.
    """
    (signals,) = signals_of([plan.choice], schedule.rebalances, plan, schedule, bars)
    return signals


def signals_of(
    choices: Sequence[SectorChoice], dates: Sequence[dt.date], plan: Plan, schedule: Schedule, bars: DataFrame
) -> list[Signals]:
    """Choose and weight the funds on some sessions by several rules, in one pass.

    Args:
        choices: instead of that of the plan; their periods are within the schedule's warm-up.
    """
    closes = bars.select("ticker", "trade_date", "adj_close_price")
    sessions, asked = sessions_frame(closes, schedule.all_sessions), _dates_frame(closes, dates)
    periods = sorted({period for choice in choices for period in choice.periods})
    trends = sector_trends(closes, sessions, asked, periods=periods, universe=plan.universe)
    # Read twice: for the dates and for the positions.
    chosen = chosen_sectors(trends, choices).localCheckpoint(eager=False)
    positions, share = chosen.where("is_chosen").select("choice_number", "as_of_date", "ticker"), F.lit(1)
    if plan.weighting == "inverse_volatility":
        positions, share = with_inverse_volatility(positions, closes, sessions), F.col("inverse_volatility")
    weighted = with_target_weight(positions, share, max_weight=plan.max_weight).collect()
    comparable = chosen.where("is_comparable").select("choice_number", "as_of_date").distinct().collect()
    targets: list[dict[dt.date, dict[str, float]]] = [{} for _ in choices]
    for row in comparable:
        targets[row["choice_number"]][row["as_of_date"]] = {}
    for row in weighted:
        targets[row["choice_number"]][row["as_of_date"]][row["ticker"]] = float(row["target_weight"])
    return [Signals(of_choice) for of_choice in targets]


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


def sessions_frame(bars: DataFrame, sessions: Sequence[dt.date]) -> DataFrame:
    """Make a DataFrame of sessions: trade_date, session_number."""
    numbers = pa.array(range(len(sessions)), pa.int32())
    return bars.sparkSession.createDataFrame(
        pa.table({"trade_date": pa.array(sessions, pa.date32()), "session_number": numbers})
    )


def _dates_frame(bars: DataFrame, dates: Sequence[dt.date]) -> DataFrame:
    return bars.sparkSession.createDataFrame(pa.table({"as_of_date": pa.array(dates, pa.date32())}))
