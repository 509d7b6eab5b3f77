"""The backtest of stocks over nine years, rebalanced daily: ours beside polars, and ten times the stocks.

Both read the same Parquet files of current prices, holdings and quotes, and share the engine that trades the targets.
What they want to hold on each session, and what the portfolio is worth at the end, must agree.
"""

from __future__ import annotations

import datetime as dt
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from benchmarks.bulk_session import build_bulk_session
from benchmarks.market import random_walks
from benchmarks.report import WARM_UPS, Measurement, best_in_turns, best_seconds
from spark_app import market_calendar
from spark_app.backtest.engine import Prices, simulate
from spark_app.backtest.outcome import STRATEGY, work_out
from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import Schedule, make_schedule
from spark_app.backtest.signals.compute import equal_targets, numbered_targets, signals
from spark_app.backtest.signals.facts import Facts, StockFacts
from spark_app.transforms.rotation import SectorChoice
from spark_app.universe import DEFAULT_UNIVERSE, Universe

_STOCKS, _MORE_STOCKS, _SESSIONS, _BASIS = 500, 5000, 2268, 20
_SNAPSHOT_SESSIONS, _QUOTE_SESSIONS = 126, 63
_UNIVERSE = Universe(DEFAULT_UNIVERSE.benchmark, DEFAULT_UNIVERSE.sectors, {})
_FUNDS = list(_UNIVERSE.sectors)
_FETCHED = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)

_Found = tuple[float, Mapping[dt.date, Mapping[str, float]]]
"""What a portfolio is worth at the end, and its target weights by date."""


@dataclass(frozen=True)
class _Market:
    """The files of a market, and a backtest of it."""

    folder: Path
    plan: Plan
    schedule: Schedule

    def file(self, name: str) -> str:
        return str(self.folder / f"{name}.parquet")


def measure() -> list[Measurement]:
    """Time both on an index, and ours on ten times the stocks; without start-up, grid and page."""
    with tempfile.TemporaryDirectory(prefix="spark_app-bench-") as folder:
        market = _make_market(Path(folder) / "index", _STOCKS)
        larger = _make_market(Path(folder) / "country", _MORE_STOCKS)
        spark = build_bulk_session()
        of_spark, of_polars = partial(_spark, spark, market), partial(_polars, market)
        for _ in range(WARM_UPS):
            of_spark()
        _require_equal(of_spark(), of_polars())
        ours, theirs = best_in_turns(of_spark, of_polars)
        more = best_seconds(partial(_spark, spark, larger), runs=2)
        spark.stop()
    what = f"stocks' backtest of {_SESSIONS:,} sessions, daily, {_STOCKS:,} stocks"
    return [
        Measurement(f"{what}: Spark", ours, "s", 60.0),
        Measurement(f"{what}: polars", theirs, "s"),
        Measurement(f"{what}: Spark / polars", ours / theirs, "x", 3.0),
        Measurement(f"the same of {_MORE_STOCKS:,} stocks: Spark", more, "s"),
        Measurement(f"the same of {_MORE_STOCKS:,} stocks / {_STOCKS:,}", more / ours, "x", _MORE_STOCKS / _STOCKS),
    ]


def _require_equal(ours: _Found, theirs: _Found) -> None:
    # Our weights have eight decimals.
    is_same = math.isclose(ours[0], theirs[0], rel_tol=1e-5) and ours[1].keys() == theirs[1].keys()
    for date, weights in theirs[1].items():
        own = ours[1].get(date, {})
        is_same &= own.keys() == weights.keys() and all(abs(own[t] - weights[t]) < 1e-7 for t in own)
    if not is_same or not any(theirs[1].values()):
        raise SystemExit(f"the results differ: {ours[0]:.6f} and {theirs[0]:.6f}")


def _make_market(folder: Path, stocks: int) -> _Market:
    """Write random walks of the funds and of stocks that each belong to one of them."""
    folder.mkdir()
    last = market_calendar.last_completed_session(dt.datetime.now(dt.UTC))
    days = market_calendar.sessions_ending(last, _SESSIONS + _BASIS)
    plan = Plan(
        days[_BASIS + 1],
        last,
        _UNIVERSE,
        level="stocks",
        rebalance="daily",
        execution="next_close",
        choice=SectorChoice(_BASIS, (_BASIS,), len(_FUNDS)),
        weighting="market_cap",
    )
    random = np.random.default_rng(11)
    stock_names = [f"S{n:05d}" for n in range(stocks)]
    names = [_UNIVERSE.benchmark, *_FUNDS, *stock_names]
    closes = random_walks(random, len(names), len(days))
    frame = pl.DataFrame({"ticker": np.repeat(np.array(names), len(days)), "trade_date": days * len(names)})
    price = pl.Series(closes.ravel())
    frame.with_columns(
        price.alias("adj_close_price"),
        price.alias("close_price"),
        pl.lit(1.0).alias("split_ratio"),
        pl.lit(_FETCHED).alias("fetched_at"),
    ).write_parquet(folder / "bars.parquet")
    funds = [_FUNDS[n % len(_FUNDS)] for n in range(stocks)]
    percent = pl.lit(1).cast(pl.Decimal(9, 6))
    members = pl.DataFrame({"etf_ticker": funds, "holding_ticker": stock_names}).with_columns(holding_percent=percent)
    snapshots = pl.DataFrame({"snapshot_date": days[::_SNAPSHOT_SESSIONS]})
    members.join(snapshots, how="cross").write_parquet(folder / "holdings.parquet")
    places = range(0, len(days), _QUOTE_SESSIONS)
    quotes = {
        "ticker": np.repeat(np.array(stock_names), len(places)),
        "quote_date": days[::_QUOTE_SESSIONS] * stocks,
        "market_cap": random.integers(10**9, 10**12, stocks * len(places)),
        "price": closes[len(names) - stocks :, ::_QUOTE_SESSIONS].ravel(),
    }
    text = pl.lit(None, pl.String)
    pl.DataFrame(quotes).with_columns(long_name=text, short_name=text).write_parquet(folder / "quotes.parquet")
    return _Market(folder, plan, make_schedule(plan, days))


def _spark(spark: SparkSession, market: _Market) -> _Found:
    no_classes = spark.createDataFrame([], "ticker string, issuer string, valid_from date, valid_to date")
    bars, holdings, quotes = (_read(spark, market.file(name)) for name in ("bars", "holdings", "quotes"))
    bars.persist()
    facts = Facts(bars, StockFacts(holdings, quotes, no_classes))
    found = signals(market.plan, market.schedule, facts)
    outcome = work_out(market.plan, market.schedule, bars, found)
    bars.unpersist()
    return float(outcome.paths[STRATEGY].values[-1]), found.targets


def _read(spark: SparkSession, file: str) -> DataFrame:
    # Known before Spark reads anything, as the schemas of the staging tables are.
    schema = from_arrow_schema(pa.parquet.read_schema(file))
    return spark.read.schema(schema).parquet(file)


def _polars(market: _Market) -> _Found:
    plan, schedule = market.plan, market.schedule
    adjusted, day = pl.col("adj_close_price"), "trade_date"
    bars = pl.scan_parquet(market.file("bars")).sort("ticker", day)
    change = ((adjusted / adjusted.shift(_BASIS).over("ticker") - 1) * 100).round(6)
    returns = bars.with_columns(return_pct=change).select("ticker", day, "return_pct", "close_price")
    benchmark = returns.filter(pl.col("ticker") == _UNIVERSE.benchmark).select(day, base="return_pct")
    of_funds = returns.filter(pl.col("ticker").is_in(_FUNDS)).join(benchmark, on=day)
    is_chosen = (pl.col("return_pct") > pl.col("base")) & (pl.col("return_pct") > 0)
    chosen = of_funds.filter(is_chosen & pl.col(day).is_in(list(schedule.rebalances)))
    holdings, quotes = (pl.scan_parquet(market.file(name)) for name in ("holdings", "quotes"))
    snapshots = holdings.select("etf_ticker", "snapshot_date").unique().sort("snapshot_date")
    dated = (
        chosen.select(day, etf_ticker="ticker", fund_return="return_pct")
        .sort(day)
        .join_asof(snapshots, left_on=day, right_on="snapshot_date", by="etf_ticker", check_sortedness=False)
    )
    members = dated.join(holdings, on=["etf_ticker", "snapshot_date"]).rename({"holding_ticker": "ticker"})
    trending = members.join(returns, on=["ticker", day]).filter(pl.col("return_pct") > pl.col("fund_return"))
    quoted = trending.sort(day).join_asof(
        quotes.sort("quote_date"), left_on=day, right_on="quote_date", by="ticker", check_sortedness=False
    )
    is_reported = pl.col("quote_date") == pl.col(day)
    scaled = (pl.col("market_cap") * pl.col("close_price") / pl.col("price") + 0.5).floor()
    cap = pl.when(is_reported).then(pl.col("market_cap")).otherwise(scaled).alias("cap")
    rank = pl.col("return_pct").rank("ordinal", descending=True).over(day, "etf_ticker")
    held = quoted.with_columns(cap, rank=rank).filter(pl.col("rank") <= plan.top_n_per_sector)
    weights = held.select(day, "ticker", weight=pl.col("cap") / pl.col("cap").sum().over(day)).collect()

    targets: dict[dt.date, dict[str, float]] = {date: {} for date in schedule.rebalances}
    for date, ticker, weight in weights.iter_rows():
        targets[date][ticker] = weight
    tickers = sorted({*_UNIVERSE.tickers, *weights["ticker"]})
    wanted = bars.filter(pl.col("ticker").is_in(tickers) & pl.col(day).is_in(list(schedule.sessions)))
    wide = wanted.collect().pivot(on="ticker", index=day, values="adj_close_price").sort(day)
    prices = Prices(schedule.sessions, tuple(tickers), wide.select(tickers).to_numpy())
    # The three portfolios of `work_out`.
    of_series = [
        numbered_targets(prices, targets),
        equal_targets(prices, sorted(targets), _FUNDS),
        numbered_targets(prices, {date: {_UNIVERSE.benchmark: 1.0} for date in targets}),
    ]
    strategy, *_ = [simulate(prices, of_one, plan.rules) for of_one in of_series]
    return float(strategy.values[-1]), targets
