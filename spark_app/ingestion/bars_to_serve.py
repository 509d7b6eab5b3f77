"""Which bars a run serves: the sessions asked for, and further back where a newer fetch restated known bars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from spark_app import market_calendar
from spark_app.ingestion.charts import Charts
from spark_app.ingestion.completeness import describe_tickers
from spark_app.ingestion.current import read_bars
from spark_app.ingestion.ingest import Ingested
from spark_app.ingestion.landing import moment_of
from spark_app.pipeline.run import Run
from spark_app.schemas import ServedTable
from spark_app.storage.delta.staging import BARS_TABLE
from spark_app.storage.postgres.provenance import Provenance, Restatement
from spark_app.storage.postgres.recovery import unserved_restatements, unserved_runs
from spark_app.transforms.prices import daily_prices
from spark_app.transforms.restatements import restatements

STAGING_JOBS = ("backfill_etf_benchmarks", "staggered_sector_backfill", "import_files")
"""The jobs beside the stages that bring bars; they serve those of their own dates, or none."""

_LISTED = 10


@dataclass(frozen=True, eq=False)
class BarsToServe:
    """The current bars of an ingestion, for serving.

    Attributes:
        ingested: what brought them.
        restated: ticker by ticker, what a newer fetch changed and is not served yet.
        sessions: those to serve, from `first` on, and the one before them.
        current: the current bars on these sessions; columns as schemas.BARS.
    """

    ingested: Ingested
    restated: tuple[Restatement, ...]
    sessions: Sequence[dt.date]
    first: dt.date
    current: DataFrame

    def prices(self, run: Run) -> DataFrame:
        """Return the rows of a price table; columns as `daily_prices` gives them."""
        return daily_prices(self.current, run.sessions(self.sessions)).where(F.col("trade_date") >= self.first)

    @property
    def provenance(self) -> Provenance:
        """What was fetched and restated."""
        return replace(self.ingested.provenance, restatements=self.restated)

    def describe(self) -> list[str]:
        """Report the bars that are rejected, implausible, missing or restated."""
        staged, missing = self.ingested.staged, self.ingested.completeness
        parts = []
        if staged.rejected:
            parts.append(f"{len(staged.rejected)} bars rejected (see logs_consumer_error)")
        if partial := self.ingested.landing.partially_parsed():
            parts.append(f"{len(partial)} charts partially parsed (see logs_consumer_error)")
        if outliers := staged.outliers:
            listed = ", ".join(map(str, outliers[:_LISTED]))
            parts.append(f"{len(outliers)} outliers (see logs_consumer_error): {listed}")
        if missing.missing:
            parts.append(f"missing: {missing.describe()}")
        if missing.ended:
            parts.append(
                f"charts ended: {describe_tickers([f'{t} {day}' for t, day in sorted(missing.ended.items())])}"
            )
        if missing.absent:
            parts.append(f"no longer listed: {describe_tickers(sorted(missing.absent))}")
        if self.restated:
            parts.append(f"restated: {describe_tickers([_describe_restatement(r) for r in self.restated])}")
        return parts


def bars_to_serve(run: Run, ingested: Ingested, *tables: ServedTable) -> BarsToServe:
    """Find the bars that the run serves, in some tables, of the charts that it ingested."""
    charts = next(feed for feed in ingested.feeds if isinstance(feed, Charts))
    restated, first_restated = _restated(run, charts, ingested.staged.restated, tables)
    sessions, first = charts.sessions, charts.served_sessions[0]
    if first_restated is not None and first_restated < first:
        # The first session of every fetch is not served: its price change is unknown.
        stored = market_calendar.sessions_between(min(charts.first_dates.values()), run.as_of)
        first = min(max(first_restated, stored[1]), first)
        sessions = stored[stored.index(first) - 1 :]
    current = read_bars(run, sessions[0], run.as_of).where(F.col("ticker").isin(list(charts.tickers)))
    return BarsToServe(ingested, restated, sessions, first, current)


def _restated(
    run: Run, charts: Charts, restated: Collection[str], tables: Sequence[ServedTable]
) -> tuple[tuple[Restatement, ...], dt.date | None]:
    """Return what was restated and is not served yet, and from which session on."""
    own, tickers = run.request.run_id, list(charts.tickers)
    listed = unserved_runs(run.database, own, run.stage, tables, tickers, STAGING_JOBS)
    listed |= {(ticker, own) for ticker in restated}
    if not listed:
        return (), None
    named, runs = (sorted(set(parts)) for parts in zip(*listed, strict=True))
    bars = run.staging.read(BARS_TABLE).where(F.col("ticker").isin(named))
    found = [r for r in collect_restatements(bars, runs) if (r.ticker, r.run_id) in listed]
    of_others = unserved_restatements(run.database, tables, [r for r in found if r.run_id != own])
    found = [r for r in found if r.run_id == own or r in of_others]
    return tuple(found), min((restatement.first_trade_date for restatement in found), default=None)


def collect_restatements(bars: DataFrame, runs: Sequence[str] | None = None) -> tuple[Restatement, ...]:
    """Return what some runs restated, None for all of them, by ticker; columns in as of `restatements`."""
    found = restatements(bars, runs).withColumn("noticed_at", F.unix_micros("noticed_at"))
    return tuple(_as_restatement(row) for row in found.orderBy("ticker", "run_id").collect())


def _as_restatement(row: Row) -> Restatement:
    return Restatement(
        ticker=row["ticker"],
        run_id=row["run_id"],
        kind=row["kind"],
        ratio=row["ratio"],
        rows_restated=row["sessions"],
        first_trade_date=row["first_date"],
        last_trade_date=row["last_date"],
        noticed_at=moment_of(row["noticed_at"]),
    )


def _describe_restatement(restated: Restatement) -> str:
    dates = f"{restated.first_trade_date}..{restated.last_trade_date}"
    return f"{restated.ticker} {restated.kind} x{restated.ratio:.6g} in {restated.rows_restated} sessions {dates}"
