"""Which rows of staging are no longer to be kept, and nothing that a later run or a kept date still needs.

- A row that a newer one of its key replaced goes so many days after that: what was known at any moment since can
  still be told. The newest row of a key stays.
- Bars reach back so far before the first served session that its 20-session returns can be computed anew, and to
  the quote that stands at it: every split since that quote must be known.
- Of quotes and holdings the newest one not after the first served session stays.
- A landed fetch stays while it is fresh, while its run is not staged, and where it alone says that a ticker had no
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
from spark_app.transforms.returns import PERIODS

REPLACED, _TOO_OLD, _LANDED = "superseded rows", "price history", "landed fetches"


@dataclass(frozen=True)
class Limits:
    """Before which moment or date each kind of row goes; None where it is kept for ever."""

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
    """Rows of one staging table that go: `doomed` has their key, the reason, and the day that says how old they are."""

    table: str
    key: tuple[str, ...]
    doomed: DataFrame

    def measure(self) -> list[Cut]:
        """Count them, reason by reason."""
        counts = self.doomed.groupBy("reason").agg(
            F.count("*").alias("rows"), F.min("day").alias("oldest"), F.max("day").alias("newest")
        )
        return [Cut(f"staging {self.table}", **row.asDict()) for row in counts.orderBy("reason").collect()]


def read_limits(run: Run) -> Limits:
    """Work out from the settings what is old."""
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
    """List what goes from each staging table; worked out at once, for it is read while the tables change."""
    return [
        _settled(FETCHES_TABLE, ("run_id", "kind", "ticker", "fetched_at"), _old_fetches(run, limits)),
        _settled(BARS_TABLE, ("ticker", "trade_date", "fetched_at"), _old_bars(run, limits)),
        _settled(HOLDINGS_TABLE, ("etf_ticker", "snapshot_date", "fetched_at"), _old_holdings(run, limits)),
        _settled(QUOTES_TABLE, ("ticker", "quote_date", "fetched_at"), _old_quotes(run, limits)),
    ]


def shortened_tickers(run: Run, limits: Limits) -> DataFrame:
    """List the tickers that lose bars: ticker, kept_from."""
    known = _known_tickers(run, limits)
    return known.where(F.col("first_bar") < F.col("kept_from")).select("ticker", "kept_from").localCheckpoint()


def funds_kept_from(run: Run, limits: Limits) -> dict[str, dt.date]:
    """Say for each fund from which snapshot on its holdings are kept, where any is too old."""
    holdings = run.staging.read(HOLDINGS_TABLE)
    rows = _standing(holdings, "etf_ticker", "snapshot_date", limits).collect()
    return {row["etf_ticker"]: row["kept_from"] for row in rows if row["kept_from"] is not None}


def _settled(table: str, key: tuple[str, ...], doomed: DataFrame) -> StagedCut:
    return StagedCut(table, key, doomed.where(F.col("reason").isNotNull()).localCheckpoint())


def _old_bars(run: Run, limits: Limits) -> DataFrame:
    bars = _with_kept_from(run, run.staging.read(BARS_TABLE), limits)
    return _doomed(bars, ("ticker", "trade_date"), limits)


def _old_holdings(run: Run, limits: Limits) -> DataFrame:
    holdings = run.staging.read(HOLDINGS_TABLE)
    standing = F.broadcast(_standing(holdings, "etf_ticker", "snapshot_date", limits))
    dated = holdings.join(standing, on="etf_ticker", how="left")
    return _doomed(dated, ("etf_ticker", "snapshot_date"), limits)


def _old_quotes(run: Run, limits: Limits) -> DataFrame:
    quotes = run.staging.read(QUOTES_TABLE)
    standing = F.broadcast(_standing(quotes, "ticker", "quote_date", limits))
    dated = quotes.join(standing, on="ticker", how="left")
    return _doomed(dated, ("ticker", "quote_date"), limits)


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
    tells_listing = is_chart & (F.col("place") == 1) & (F.col("covered_from") < F.col("first_kept_bar"))
    return (
        fetches.join(known, on="ticker", how="left")
        .withColumn("covered_from", covered_from)
        .withColumn("place", F.row_number().over(earliest))
        .withColumn("reason", F.when(is_old & ~F.coalesce(tells_listing, F.lit(False)), _LANDED))
        .select("run_id", "kind", "ticker", "fetched_at", "reason", F.to_date("fetched_at").alias("day"))
    )


def _known_tickers(run: Run, limits: Limits) -> DataFrame:
    """Say of each ticker with bars: first_bar, first_kept_bar, kept_from (null where all are kept)."""
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
    quotes = _standing(run.staging.read(QUOTES_TABLE), "ticker", "quote_date", limits)
    dated = bars.join(F.broadcast(quotes.withColumnRenamed("kept_from", "quoted")), on="ticker", how="left")
    return dated.withColumn("kept_from", F.least("quoted", _date(limits.first_bar))).drop("quoted")


def _standing(facts: DataFrame, key: str, date: str, limits: Limits) -> DataFrame:
    """The date of the newest fact of each key that is not after the first served session: key, kept_from."""
    is_before = F.col(date) <= _date(limits.first_session)
    return facts.groupBy(key).agg(F.max(F.when(is_before, F.col(date))).alias("kept_from"))


def _doomed(rows: DataFrame, key: Sequence[str], limits: Limits) -> DataFrame:
    """Add why a row goes, null where it stays: too old, or replaced long enough ago."""
    fetched_at, date = F.col("fetched_at"), key[-1]
    newest_then = F.max(F.when(fetched_at <= _moment(limits.superseded), fetched_at)).over(Window.partitionBy(*key))
    is_too_old = F.col(date) < F.col("kept_from")
    reason = F.when(is_too_old, _TOO_OLD).when(fetched_at < newest_then, REPLACED)
    return rows.select(*key, "fetched_at", reason.alias("reason"), F.col(date).alias("day"))


def _moment(moment: dt.datetime | None) -> Column:
    return F.lit(moment).cast("timestamp")


def _date(date: dt.date | None) -> Column:
    return F.lit(date).cast("date")
