"""From landed fetches to the staging tables of bars, holdings and quotes: what is new or differs, no HTTP."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Observation, Row
from pyspark.sql import functions as F

from spark_app import market_calendar
from spark_app.schemas import BAR, WEIGHT_PERCENT
from spark_app.sources.contract import Kind
from spark_app.stages.context import StageContext
from spark_app.storage.run_log import ConsumerError
from spark_app.storage.staging import BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE
from spark_app.transforms.current import current_bars, current_holdings, current_quotes
from spark_app.transforms.new_rows import new_bars, new_holdings, new_quotes
from spark_app.transforms.prices import with_bar_defect

_PROVENANCE = ("fetched_at", "run_id", "source")


@dataclass(frozen=True)
class StagedBars:
    """The Delta version that the new bars came in with, and the bars that broke a rule."""

    version: int
    rejected: tuple[ConsumerError, ...]


def stage_bars(context: StageContext, stage: str, tickers: Sequence[str], first: dt.date) -> StagedBars:
    """Stage the bars that this run fetched for `tickers` and that are new or differ.

    Bars that break a rule are kept out and come back with the reason, for `logs_consumer_error`.
    """
    fetched = context.staging.fetches_of(context.request.run_id, Kind.CHART).where(F.col("ticker").isin(list(tickers)))
    bars = fetched.select("ticker", *_PROVENANCE, F.inline("bars"))
    last = market_calendar.last_completed_session(context.request.now)
    sessions = context.numbered_sessions(market_calendar.sessions_between(first, last))
    rejected = Observation()
    checked = bars.transform(with_bar_defect, sessions).observe(rejected, _defective_bars().alias("bars"))
    sound = checked.where(F.col("defect").isNull()).drop("defect")
    staged = context.staging.read(BARS_TABLE).where(
        F.col("ticker").isin(list(tickers)) & (F.col("trade_date") >= first)
    )
    version = context.staging.append(
        BARS_TABLE, new_bars(sound, staged), transaction=f"{context.request.run_id}/{stage}/bars"
    )
    return StagedBars(version, tuple(_as_error(row) for row in rejected.get["bars"]))


def first_dates(context: StageContext, tickers: Sequence[str], first: dt.date) -> dict[str, dt.date]:
    """Say from which date on each ticker's bars are asked: `first`, or the earliest date that staging knows of it.

    One fetch then covers all stored bars, so they stand on one price basis, and every split since the oldest quote.
    """
    bars = context.staging.read(BARS_TABLE).select("ticker", F.col("trade_date").alias("day"))
    quotes = context.staging.read(QUOTES_TABLE).select("ticker", F.col("quote_date").alias("day"))
    known = bars.unionAll(quotes).where(F.col("ticker").isin(list(tickers)) & (F.col("day") < first))
    earliest = {row["ticker"]: row["day"] for row in known.groupBy("ticker").agg(F.min("day").alias("day")).collect()}
    return {ticker: earliest.get(ticker, first) for ticker in tickers}


def stage_holdings(context: StageContext, stage: str) -> int:
    """Stage the snapshots that this run fetched and that are new or differ; returns the Delta version."""
    fetched = context.staging.fetches_of(context.request.run_id, Kind.HOLDINGS)
    holdings = fetched.select(
        F.col("ticker").alias("etf_ticker"), "snapshot_date", *_PROVENANCE, F.inline("holdings")
    ).withColumn("holding_percent", F.col("holding_percent").cast(WEIGHT_PERCENT))
    new = new_holdings(holdings, context.staging.read(HOLDINGS_TABLE))
    return context.staging.append(HOLDINGS_TABLE, new, transaction=f"{context.request.run_id}/{stage}/holdings")


def stage_quotes(context: StageContext, stage: str) -> int:
    """Stage the quotes that this run fetched and that are new or differ; returns the Delta version."""
    fetched = context.staging.fetches_of(context.request.run_id, Kind.QUOTE).where(F.col("quote").isNotNull())
    quotes = fetched.select("ticker", "quote.*", *_PROVENANCE)
    new = new_quotes(quotes, context.staging.read(QUOTES_TABLE))
    return context.staging.append(QUOTES_TABLE, new, transaction=f"{context.request.run_id}/{stage}/quotes")


def read_bars(context: StageContext, first: dt.date | None = None, last: dt.date | None = None) -> DataFrame:
    """Read the current bars from session `first` to session `last`; columns as schemas.BARS."""
    bars = context.staging.read(BARS_TABLE)
    if first is not None:
        bars = bars.where(F.col("trade_date") >= first)
    if last is not None:
        bars = bars.where(F.col("trade_date") <= last)
    return current_bars(bars)


def read_holdings(context: StageContext) -> DataFrame:
    """Read the current snapshots; columns as schemas.HOLDINGS."""
    return current_holdings(context.staging.read(HOLDINGS_TABLE))


def read_quotes(context: StageContext) -> DataFrame:
    """Read the current quotes; columns as schemas.QUOTES."""
    return current_quotes(context.staging.read(QUOTES_TABLE))


def _defective_bars() -> Column:
    """Collect the bars with a defect; `collect_list` passes over the nulls that the sound ones give."""
    bar = F.struct("ticker", *BAR.fieldNames(), "defect")
    return F.sort_array(F.collect_list(F.when(F.col("defect").isNotNull(), bar)))


def _as_error(row: Row) -> ConsumerError:
    values = row.asDict()
    defect = values.pop("defect")
    raw_value = ", ".join(f"{name}={value}" for name, value in values.items())
    return ConsumerError(f"bar of {row['ticker']} {row['trade_date']}: {defect}", raw_value)
