"""From landed fetches to the staging tables of bars, holdings and quotes: what is new or differs, no HTTP."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

from pyspark.sql import Column, DataFrame, Observation, Row
from pyspark.sql import functions as F

from spark_app import market_calendar
from spark_app.ingestion.landing import LandedTicker, Landing
from spark_app.pipeline.context import StageContext
from spark_app.schemas import BAR, WEIGHT_PERCENT
from spark_app.sources.contract import Kind, Outcome
from spark_app.storage.delta.staging import BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE
from spark_app.storage.postgres.holds import hold_staging
from spark_app.storage.postgres.recovery import mark_recovered, unstaged_runs
from spark_app.storage.postgres.run_log import ConsumerError, RunKey
from spark_app.transforms.current import current_bars, current_holdings, current_quotes
from spark_app.transforms.new_rows import new_bars, new_holdings, new_quotes
from spark_app.transforms.outliers import with_outlier
from spark_app.transforms.prices import with_bar_defect

logger = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")
_UNEXPLAINED = "that neither a split nor a dividend explains; the bar is kept"
_PROVENANCE = ("fetched_at", "run_id", "source")
_recovering = threading.Lock()
"""Of stages that run side by side the first recovers what there is."""


@dataclass(frozen=True)
class StagedBars:
    """The Delta version that new bars came in with, the bars that broke a rule, and whose known bars changed.

    `jumps` are kept bars that are hard to believe; each is told by the run that first staged it, and not again.
    `quotes_version` is the one of quotes that came with the bars.
    """

    version: int = 0
    rejected: tuple[ConsumerError, ...] = ()
    restated: frozenset[str] = frozenset()
    jumps: tuple[ConsumerError, ...] = ()
    quotes_version: int = 0

    @property
    def errors(self) -> tuple[ConsumerError, ...]:
        """What `logs_consumer_error` gets."""
        return self.rejected + self.jumps

    def joined(self, later: StagedBars) -> StagedBars:
        """Both together; a bar that was rejected twice counts once."""
        rejected = tuple(dict.fromkeys(self.rejected + later.rejected))
        jumps = tuple(dict.fromkeys(self.jumps + later.jumps))
        return StagedBars(
            max(self.version, later.version),
            rejected,
            self.restated | later.restated,
            jumps,
            max(self.quotes_version, later.quotes_version),
        )


def recover_unstaged(context: StageContext, stage: str) -> None:
    """Stage what other runs landed and, killed or failing, did not stage, and log what was wrong with it."""
    with _recovering:
        _recover_unstaged(context, stage)


def _recover_unstaged(context: StageContext, stage: str) -> None:
    others = unstaged_runs(context.database, context.request.run_id)
    if not others:
        return
    runs = tuple(sorted({run.run_id for run in others}))
    staged = stage_bars(context, market_calendar.FIRST_SESSION, runs=runs)
    stage_holdings(context, runs=runs)
    stage_quotes(context, runs=runs)
    run = RunKey(context.request.run_id, stage, context.as_of, {})
    errors = (*staged.rejected, *_jumps_brought_by(context, runs), *_failed_requests(context, runs))
    mark_recovered(context.database, run, others, errors)
    logger.info("%s: staged what %d runs had left, %d bars of it rejected", stage, len(runs), len(staged.rejected))


def _jumps_brought_by(context: StageContext, runs: Sequence[str]) -> tuple[ConsumerError, ...]:
    """Tell the jumps among the bars that are staged from what these runs landed; they did not come to say so."""
    landed = context.staging.fetches_of(runs, Kind.CHART).select("ticker", *_PROVENANCE, F.inline("bars"))
    _, sound = _checked(context, landed, market_calendar.FIRST_SESSION)
    staged = context.staging.read(BARS_TABLE).select("ticker", "trade_date", "fetched_at")
    brought = sound.where(F.col("price_outlier_percent").isNotNull()).join(staged, on=staged.columns, how="left_semi")
    return tuple(_as_jump(row) for row in brought.agg(_jumping_bars().alias("jumps")).collect()[0]["jumps"])


def _failed_requests(context: StageContext, runs: Sequence[str]) -> tuple[ConsumerError, ...]:
    """What these runs asked for in vain; they did not come to say so."""
    failed = context.staging.fetches_of(runs).where(F.col("outcome") != Outcome.OK)
    rows = failed.select("kind", "ticker", "outcome", "message", "raw_text", "requests").collect()
    return tuple(dict.fromkeys(Landing([LandedTicker(**row.asDict()) for row in rows]).errors()))


def _alone_at(table: str) -> Callable[[Callable[Concatenate[StageContext, _P], _T]], Callable[..., _T]]:
    """Let no other run read and append staged rows of this table meanwhile: both would find the same rows new."""

    def decorate(stage_rows: Callable[Concatenate[StageContext, _P], _T]) -> Callable[..., _T]:
        @functools.wraps(stage_rows)
        def alone(context: StageContext, *args: _P.args, **options: _P.kwargs) -> _T:
            with hold_staging(context.database, table):
                return stage_rows(context, *args, **options)

        return alone

    return decorate


@_alone_at(BARS_TABLE)
def stage_bars(
    context: StageContext,
    first: dt.date,
    *,
    tickers: Sequence[str] | None = None,
    runs: Sequence[str] | None = None,
) -> StagedBars:
    """Stage the bars that this run fetched and that are new or differ.

    Bars that break a rule are kept out and come back with the reason, for `logs_consumer_error`.

    Args:
        first: no bar that was fetched is older.
        tickers: those that were fetched, where known; `runs`: other runs instead of this one.
    """
    fetched = context.staging.fetches_of(runs or [context.request.run_id], Kind.CHART)
    staged = context.staging.read(BARS_TABLE).where(F.col("trade_date") >= first)
    if tickers is not None:
        is_asked = F.col("ticker").isin(list(tickers))
        fetched, staged = fetched.where(is_asked), staged.where(is_asked)
    rejected, sound = _checked(context, fetched.select("ticker", *_PROVENANCE, F.inline("bars")), first)
    added = Observation()
    new = new_bars(sound, staged)
    restated = F.collect_set(F.when(F.col("is_restated"), F.col("ticker"))).alias("restated")
    version = context.staging.append(BARS_TABLE, new.observe(added, restated, _jumping_bars().alias("jumps")))
    return StagedBars(
        version,
        tuple(_as_error(row) for row in rejected.get["bars"]),
        frozenset(added.get["restated"]),
        tuple(_as_jump(row) for row in added.get["jumps"]),
    )


def _checked(context: StageContext, bars: DataFrame, first: dt.date) -> tuple[Observation, DataFrame]:
    """Collect the bars that break a rule in the observation, and add price_outlier_percent to the others."""
    last = market_calendar.last_completed_session(context.request.now)
    sessions = context.numbered_sessions(market_calendar.sessions_between(first, last))
    rejected = Observation()
    checked = bars.transform(with_bar_defect, sessions).observe(rejected, _defective_bars().alias("bars"))
    sound = checked.where(F.col("defect").isNull()).drop("defect")
    return rejected, sound.transform(with_outlier, sessions, **context.settings.quality.limits)


@_alone_at(HOLDINGS_TABLE)
def stage_holdings(context: StageContext, *, runs: Sequence[str] | None = None) -> int:
    """Stage the snapshots that this run fetched and that are new or differ; returns the Delta version."""
    fetched = context.staging.fetches_of(runs or [context.request.run_id], Kind.HOLDINGS)
    holdings = fetched.select(
        F.col("ticker").alias("etf_ticker"), "snapshot_date", *_PROVENANCE, F.inline("holdings")
    ).withColumn("holding_percent", F.col("holding_percent").cast(WEIGHT_PERCENT))
    new = new_holdings(holdings, context.staging.read(HOLDINGS_TABLE))
    return context.staging.append(HOLDINGS_TABLE, new)


@_alone_at(QUOTES_TABLE)
def stage_quotes(context: StageContext, *, runs: Sequence[str] | None = None) -> int:
    """Stage the quotes that this run fetched and that are new or differ; returns the Delta version."""
    fetched = context.staging.fetches_of(runs or [context.request.run_id], Kind.QUOTE).where(F.col("quote").isNotNull())
    quotes = fetched.select("ticker", "quote.*", *_PROVENANCE)
    new = new_quotes(quotes, context.staging.read(QUOTES_TABLE))
    return context.staging.append(QUOTES_TABLE, new)


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
    return _bars_with("defect")


def _jumping_bars() -> Column:
    return _bars_with("price_outlier_percent")


def _bars_with(finding: str) -> Column:
    bar = F.struct("ticker", *BAR.fieldNames(), finding)
    return F.sort_array(F.collect_list(F.when(F.col(finding).isNotNull(), bar)))


def _as_error(row: Row) -> ConsumerError:
    values = row.asDict()
    return _error_of_bar(values, values.pop("defect"))


def _as_jump(row: Row) -> ConsumerError:
    values = row.asDict()
    return _error_of_bar(values, f"jump of {values.pop('price_outlier_percent'):+.1f} % {_UNEXPLAINED}")


def _error_of_bar(values: Mapping[str, object], said: str) -> ConsumerError:
    raw_value = ", ".join(f"{name}={value}" for name, value in values.items())
    return ConsumerError(f"bar of {values['ticker']} {values['trade_date']}: {said}", raw_value)
