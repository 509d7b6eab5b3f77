"""Which rows of staging expire: none that a later run or a kept date still needs.

- A row that was superseded is kept for `retention.superseded_days` more, so that `--known-at` can read any moment
  since. The newest row of a key is kept.
- Bars are kept from the longest return before the first served session, and from the quote as of that session: every
  split since that quote must be known.
- Of quotes and holdings the newest one not after the first served session is kept.
- A landed fetch is kept while it is fresh, while its run is not staged, and where it alone shows that a ticker had no
  bars before its first one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_app import market_calendar
from spark_app.pipeline.run import Run
from spark_app.sources.contract import Kind, Outcome
from spark_app.storage.delta.staging import BARS_TABLE, FETCHES_TABLE, HOLDINGS_TABLE, QUOTES_TABLE
from spark_app.storage.postgres.recovery import unstaged_runs
from spark_app.storage.postgres.retention import Cut
from spark_app.universe import PERIODS

REPLACED, _TOO_OLD, _LANDED = "superseded rows", "price history", "landed fetches"


@dataclass(frozen=True)
class Limits:
    """Before which moment or date each kind of row expires; None where it is kept for ever."""

    fetches: dt.datetime | None
    superseded: dt.datetime | None
    errors: dt.datetime | None
    runs: dt.datetime | None
    first_session: dt.date | None
    first_analytics: dt.date | None

    @property
    def first_bar(self) -> dt.date | None:
        """The first session whose bars stay in staging for the sake of returns."""
        if self.first_session is None:
            return None
        return market_calendar.sessions_ending(self.first_session, max(PERIODS) + 1)[0]


@dataclass(frozen=True, eq=False)
class StagedCut:
    """Expired rows of one staging table; `expired` has their key, the reason, and the day that counts as their age."""

    table: str
    key: tuple[str, ...]
    expired: DataFrame

    def measure(self) -> list[Cut]:
        """Count them, reason by reason."""
        counts = self.expired.groupBy("reason").agg(
            F.count("*").alias("rows"), F.min("day").alias("oldest"), F.max("day").alias("newest")
        )
        return [Cut(f"staging {self.table}", **row.asDict()) for row in counts.orderBy("reason").collect()]


def read_limits(run: Run) -> Limits:
    """Compute the limits from the settings."""
    keep, now = run.settings.retention, run.request.now

    def before(days: int | None) -> dt.datetime | None:
        return None if days is None else now - dt.timedelta(days=days)

    fetches, analytics, history = (
        before(keep.fetches_days),
        before(keep.analytics_days),
        before(keep.price_history_days),
    )
    fresh = now - dt.timedelta(hours=run.settings.fetch.cache_hours)
    return Limits(
        fetches=min(fetches, fresh) if fetches else None,
        superseded=before(keep.superseded_days),
        errors=before(keep.consumer_errors_days),
        runs=before(keep.run_log_days),
        first_session=market_calendar.sessions_between(history.date(), run.as_of)[0] if history else None,
        first_analytics=analytics.date() if analytics else None,
    )


def staged_cuts(run: Run, limits: Limits) -> list[StagedCut]:
    """List the expired rows of each staging table; computed at once, because the tables change while they are read."""
    return [
        _computed(FETCHES_TABLE, ("run_id", "kind", "ticker", "fetched_at"), _old_fetches(run, limits)),
        _computed(BARS_TABLE, ("ticker", "trade_date", "fetched_at"), _old_bars(run, limits)),
        _computed(HOLDINGS_TABLE, ("etf_ticker", "snapshot_date", "fetched_at"), _old_holdings(run, limits)),
        _computed(QUOTES_TABLE, ("ticker", "quote_date", "fetched_at"), _old_quotes(run, limits)),
    ]


def shortened_tickers(run: Run, limits: Limits) -> DataFrame:
    """List the tickers that lose bars: ticker, kept_from."""
    known = _known_tickers(run, limits)
    return known.where(F.col("first_bar") < F.col("kept_from")).select("ticker", "kept_from").localCheckpoint()


def funds_kept_from(run: Run, limits: Limits) -> dict[str, dt.date]:
    """Return the date of the first snapshot of each fund that is kept, where any is too old."""
    holdings = run.staging.read(HOLDINGS_TABLE)
    rows = _kept_from(holdings, "etf_ticker", "snapshot_date", limits).collect()
    return {row["etf_ticker"]: row["kept_from"] for row in rows if row["kept_from"] is not None}


def _computed(table: str, key: tuple[str, ...], expired: DataFrame) -> StagedCut:
    return StagedCut(table, key, expired.where(F.col("reason").isNotNull()).localCheckpoint())


def _old_bars(run: Run, limits: Limits) -> DataFrame:
    bars = _with_kept_from(run, run.staging.read(BARS_TABLE), limits)
    return _expired(bars, ("ticker", "trade_date"), limits)


def _old_holdings(run: Run, limits: Limits) -> DataFrame:
    holdings = run.staging.read(HOLDINGS_TABLE)
    kept_from = F.broadcast(_kept_from(holdings, "etf_ticker", "snapshot_date", limits))
    dated = holdings.join(kept_from, on="etf_ticker", how="left")
    return _expired(dated, ("etf_ticker", "snapshot_date"), limits)


def _old_quotes(run: Run, limits: Limits) -> DataFrame:
    quotes = run.staging.read(QUOTES_TABLE)
    kept_from = F.broadcast(_kept_from(quotes, "ticker", "quote_date", limits))
    dated = quotes.join(kept_from, on="ticker", how="left")
    return _expired(dated, ("ticker", "quote_date"), limits)


def _old_fetches(run: Run, limits: Limits) -> DataFrame:
    fetches = run.staging.read(FETCHES_TABLE).select(
        "run_id", "kind", "ticker", "outcome", "window_start", "fetched_at"
    )
    unstaged = [run.run_id for run in unstaged_runs(run.database, run.request.run_id)]
    is_old = (F.col("fetched_at") < _moment(limits.fetches)) & ~F.col("run_id").isin(unstaged)
    is_chart = (F.col("kind") == Kind.CHART) & (F.col("outcome") == Outcome.OK)
    known = F.broadcast(_known_tickers(run, limits))
    is_shortened = F.col("first_bar") < F.col("kept_from")
    covered_from = F.when(is_shortened, F.greatest("window_start", "kept_from")).otherwise(F.col("window_start"))
    earliest = Window.partitionBy("ticker", is_chart).orderBy("covered_from", F.desc("fetched_at"))
    shows_listing = is_chart & (F.col("place") == 1) & (F.col("covered_from") < F.col("first_kept_bar"))
    return (
        fetches.join(known, on="ticker", how="left")
        .withColumn("covered_from", covered_from)
        .withColumn("place", F.row_number().over(earliest))
        .withColumn("reason", F.when(is_old & ~F.coalesce(shows_listing, F.lit(False)), _LANDED))
        .select("run_id", "kind", "ticker", "fetched_at", "reason", F.to_date("fetched_at").alias("day"))
    )


def _known_tickers(run: Run, limits: Limits) -> DataFrame:
    """List the tickers with bars: ticker, first_bar, first_kept_bar, kept_from (null where all are kept)."""
    bars = _with_kept_from(run, run.staging.read(BARS_TABLE).select("ticker", "trade_date"), limits)
    day, kept_from = F.col("trade_date"), F.col("kept_from")
    is_kept = kept_from.isNull() | (day >= kept_from)
    return bars.groupBy("ticker").agg(
        F.min(day).alias("first_bar"),
        F.min(F.when(is_kept, day)).alias("first_kept_bar"),
        F.min(kept_from).alias("kept_from"),
    )


def _with_kept_from(run: Run, bars: DataFrame, limits: Limits) -> DataFrame:
    """Add the date from which on each ticker's bars are kept, null where all are."""
    quotes = _kept_from(run.staging.read(QUOTES_TABLE), "ticker", "quote_date", limits)
    dated = bars.join(F.broadcast(quotes.withColumnRenamed("kept_from", "quoted")), on="ticker", how="left")
    return dated.withColumn("kept_from", F.least("quoted", _date(limits.first_bar))).drop("quoted")


def _kept_from(facts: DataFrame, key: str, date: str, limits: Limits) -> DataFrame:
    """The date of the newest fact of each key that is not after the first served session: key, kept_from."""
    is_before = F.col(date) <= _date(limits.first_session)
    return facts.groupBy(key).agg(F.max(F.when(is_before, F.col(date))).alias("kept_from"))


def _expired(rows: DataFrame, key: Sequence[str], limits: Limits) -> DataFrame:
    """Add why a row expires, null where it is kept: too old, or superseded long enough ago."""
    fetched_at, date = F.col("fetched_at"), key[-1]
    newest_then = F.max(F.when(fetched_at <= _moment(limits.superseded), fetched_at)).over(Window.partitionBy(*key))
    is_too_old = F.col(date) < F.col("kept_from")
    reason = F.when(is_too_old, _TOO_OLD).when(fetched_at < newest_then, REPLACED)
    return rows.select(*key, "fetched_at", reason.alias("reason"), F.col(date).alias("day"))


def _moment(moment: dt.datetime | None) -> Column:
    return F.lit(moment).cast("timestamp")


def _date(date: dt.date | None) -> Column:
    return F.lit(date).cast("date")
