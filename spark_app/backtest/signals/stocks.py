"""The signals of stocks: the portfolio of the daily run on all dates, from the facts of the time.

The rules are those of stage 5 and their functions the same. What a rule leaves out is dropped at once, for over years
of sessions most rows are members that do not trend.
"""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from spark_app.backtest.plan import Plan
from spark_app.backtest.signals.facts import StockFacts
from spark_app.backtest.signals.tables import distinct_rows, read_rows
from spark_app.transforms.exclusions import no_market_cap, with_below_top_n, with_duplicate_issuer
from spark_app.transforms.holdings import sector_memberships, within_index
from spark_app.transforms.market_caps import with_market_cap, without_later_caps
from spark_app.transforms.returns import prices_by_ticker, returns_from_prices
from spark_app.transforms.rotation import target_weights
from spark_app.transforms.stock_trends import compared_with_sector

HOLDINGS, MARKET_CAPS = "holdings", "market_caps"
"""The facts that may be dated later than the date they are used on."""


@dataclass(frozen=True)
class Members:
    """The members of the chosen sectors, counted on each date of a signal, and which of them could not be judged.

    Attributes:
        unpriced: members without a return; unpriced_tickers: how many stocks they are.
        without_cap: members that trend and have no market cap (of the time, unless look-ahead is allowed).
        sectors: chosen sectors; empty_sectors: those without members, for their holdings are not known.
    """

    members: int = 0
    unpriced: int = 0
    unpriced_tickers: int = 0
    without_cap: int = 0
    sectors: int = 0
    empty_sectors: int = 0


@dataclass(frozen=True)
class StockSignals:
    """The stocks of each date with their target weights, and those of them that stand on later facts."""

    members: Members
    targets: dict[dt.date, dict[str, float]] = field(default_factory=dict)
    later_facts: dict[dt.date, dict[str, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Stocks:
    """What the stocks of every choice are judged by.

    Attributes:
        facts: what was known of them.
        bars: as in `Facts`.
        sessions: trade_date, session_number.
        prices: their adjusted closes, as `prices_by_ticker` gives them.
        memberships: the members of all funds on all dates; columns as of `sector_memberships`.
        spans: the first of the dates with the same members, for each date.
        known: the first dates and the funds that have members.
    """

    facts: StockFacts
    bars: DataFrame
    sessions: DataFrame
    prices: DataFrame
    memberships: DataFrame
    spans: Mapping[dt.date, dt.date]
    known: Collection[tuple[Any, ...]]


def prepare_stocks(
    plan: Plan, dates: Sequence[dt.date], sessions: DataFrame, bars: DataFrame, facts: StockFacts
) -> Stocks:
    """Find the members of the funds on some dates, in order, and collect the prices of all stocks."""
    prices = prices_by_ticker(bars, sessions).localCheckpoint()
    spans = _spans(dates, facts)
    members_of_spans = _members_of_spans(plan, spans, facts).toArrow()
    known = set(distinct_rows(members_of_spans, "as_of_date", "etf_ticker"))
    memberships = _memberships(bars.sparkSession.createDataFrame(members_of_spans), spans, facts)
    return Stocks(facts, bars, sessions, prices, memberships, spans, known)


def stock_signals(plan: Plan, trends: DataFrame, held: pa.Table, stocks: Stocks) -> StockSignals:
    """Choose and weight stocks of the funds that are held.

    Columns in: `trends` are schemas.SECTOR_TRENDS, with the basis of the plan; `held` has as_of_date, etf_ticker,
        unique.
    """
    chosen = list(read_rows(held, "as_of_date", "etf_ticker"))
    if not chosen:
        return StockSignals(Members())
    bars, sessions, facts = stocks.bars, stocks.sessions, stocks.facts
    of_held = F.broadcast(bars.sparkSession.createDataFrame(held))
    memberships = stocks.memberships.join(of_held, on=["as_of_date", "etf_ticker"], how="left_semi")
    returns = returns_from_prices(memberships, stocks.prices, sessions, periods=[plan.choice.basis])
    # The chosen sectors count as trending.
    sectors = trends.where(F.col("period_days") == plan.choice.basis).withColumn("is_trending", F.lit(True))
    candidates, counts = _trending(compared_with_sector(returns, sectors))
    without_cap = Observation()
    positions = _positions(plan, candidates, bars, facts, without_cap)
    weights = target_weights(positions, plan.weighting, bars, sessions, max_weight=plan.max_weight)
    quoted = ["quote_date"] if plan.has_caps else []
    weight = F.col("target_weight").cast("double").alias("target_weight")
    found = weights.select("as_of_date", "ticker", weight, "snapshot_date", *quoted).toArrow()
    members = Members(
        members=counts["members"],
        unpriced=counts["unpriced"],
        unpriced_tickers=len(counts["unpriced_tickers"]),
        without_cap=without_cap.get["members"] if plan.has_caps else 0,
        sectors=len(chosen),
        empty_sectors=sum((stocks.spans[date], fund) not in stocks.known for date, fund in chosen),
    )
    signals = StockSignals(members)
    for date, ticker, target in read_rows(found, "as_of_date", "ticker", "target_weight"):
        signals.targets.setdefault(date, {})[ticker] = target
    dated = {HOLDINGS: "snapshot_date"} | ({MARKET_CAPS: "quote_date"} if plan.has_caps else {})
    for kind, day in dated.items():
        look_ahead = found.filter(pc.field(day) > pc.field("as_of_date"))
        for date, ticker in read_rows(look_ahead, "as_of_date", "ticker"):
            of_date = signals.later_facts.setdefault(date, {})
            of_date[ticker] = (*of_date.get(ticker, ()), kind)
    return signals


def _trending(compared: DataFrame) -> tuple[DataFrame, dict[str, Any]]:
    """Compute the stocks that trend, and count all members on the way."""
    counts, is_unpriced = Observation(), F.col("return_pct").isNull()
    counted = compared.observe(
        counts,
        F.count(F.lit(1)).alias("members"),
        F.count_if(is_unpriced).alias("unpriced"),
        F.collect_set(F.when(is_unpriced, F.col("ticker"))).alias("unpriced_tickers"),
    )
    columns = ("as_of_date", "ticker", "etf_ticker", "sector", "holding_percent", "snapshot_date", "return_pct")
    trending = counted.where("is_trending").select(*columns).localCheckpoint()
    return trending, counts.get


def _positions(
    plan: Plan, candidates: DataFrame, bars: DataFrame, facts: StockFacts, without_cap: Observation
) -> DataFrame:
    """Keep the stocks that stage 5 would hold. `without_cap` counts those without a market cap, if caps are looked at.

    Columns out: those of `candidates`, choice_number (0) and, if caps are looked at, market_cap and quote_date.
    """
    exclusion = F.lit(None).cast("struct<reason:string,detail:string>")
    if plan.has_caps:
        # Partitioned by date again: the portfolio's windows need no further shuffle.
        candidates = with_market_cap(candidates, facts.quotes, bars).repartition("as_of_date")
        candidates = candidates if plan.is_look_ahead_allowed else without_later_caps(candidates)
        is_uncapped = F.col("market_cap").isNull()
        candidates = candidates.observe(without_cap, F.count_if(is_uncapped).alias("members"))
        exclusion = F.when(is_uncapped, no_market_cap())
    judged = with_duplicate_issuer(candidates.withColumn("exclusion", exclusion), facts.share_classes)
    judged = with_below_top_n(judged, "return_pct", plan.choice.basis, top_n=plan.top_n_per_sector)
    return judged.where(F.col("exclusion").isNull()).withColumn("choice_number", F.lit(0))


def _spans(dates: Sequence[dt.date], facts: StockFacts) -> dict[dt.date, dt.date]:
    """The first of the dates that have the same snapshots as a date: between two snapshots no membership changes."""
    snapshots = sorted(row["snapshot_date"] for row in facts.holdings.select("snapshot_date").distinct().collect())
    first_of: dict[int, dt.date] = {}
    return {date: first_of.setdefault(bisect.bisect_right(snapshots, date), date) for date in dates}


def _members_of_spans(plan: Plan, spans: Mapping[dt.date, dt.date], facts: StockFacts) -> DataFrame:
    dates = pa.table({"as_of_date": pa.array(sorted(set(spans.values())), pa.date32())})
    return sector_memberships(
        facts.holdings,
        facts.holdings.sparkSession.createDataFrame(dates),
        facts.renames,
        plan.universe,
        is_look_ahead_allowed=plan.is_look_ahead_allowed,
    )


def _memberships(members_of_spans: DataFrame, spans: Mapping[dt.date, dt.date], facts: StockFacts) -> DataFrame:
    """The members of the funds on all dates; columns as of `sector_memberships`."""
    dates = pa.table(
        {"date": pa.array(list(spans), pa.date32()), "as_of_date": pa.array(list(spans.values()), pa.date32())}
    )
    frame = facts.holdings.sparkSession.createDataFrame(dates)
    of_dates = members_of_spans.join(F.broadcast(frame), on="as_of_date", how="inner")
    dated = of_dates.withColumn("as_of_date", F.col("date")).select(*members_of_spans.columns)
    return dated if facts.index_members is None else within_index(dated, facts.index_members, facts.renames)
