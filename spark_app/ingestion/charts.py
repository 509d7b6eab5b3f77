"""Daily bars: what to ask, which bars are sound and new, which are missing, what was restated."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Observation, Row
from pyspark.sql import functions as F

from spark_app import market_calendar
from spark_app.ingestion.cache import read_known
from spark_app.ingestion.completeness import Completeness, judge_completeness
from spark_app.ingestion.current import PROVENANCE, fetches_to_stage
from spark_app.ingestion.feeds import Feed, Outlier, Staged
from spark_app.ingestion.landing import Landing
from spark_app.pipeline.run import Run
from spark_app.schemas import BAR
from spark_app.sources.contract import FetchRequest, Kind, Outcome
from spark_app.storage.delta.staging import BARS_TABLE
from spark_app.storage.postgres.locks import staging_table_lock
from spark_app.storage.postgres.run_log import ConsumerError
from spark_app.transforms.new_rows import new_bars
from spark_app.transforms.outliers import with_outlier
from spark_app.transforms.prices import with_bar_defect
from spark_app.universe import FUNDS

logger = logging.getLogger(__name__)

_WITHOUT_LISTING = (Outcome.NOT_FOUND, Outcome.NO_DATA)


@dataclass(frozen=True, eq=False)
class Charts(Feed):
    """The bars of some tickers on the sessions that a run serves, and the one before them."""

    kind = Kind.CHART
    table = BARS_TABLE

    @property
    def sessions(self) -> list[dt.date]:
        """The sessions to fetch; the first of them only gives the first price change."""
        return self.run.window(self.run.request.days + 1)

    @property
    def served_sessions(self) -> list[dt.date]:
        return self.sessions[-self.run.request.days :]

    @property
    def first_dates(self) -> dict[str, dt.date]:
        """The date from which on each ticker's bars are asked.

        One fetch covers all stored bars, so that they stand on one price basis, and every split since the oldest quote.
        No date is before `FIRST_SESSION`, whatever is in staging.
        """
        first, known = self.sessions[0], self.known.first_days
        earliest = market_calendar.FIRST_SESSION
        return {ticker: max(earliest, min(first, known.get(ticker, first))) for ticker in self.tickers}

    def due(self, cached: Landing) -> list[FetchRequest]:
        """What no fresh fetch answers, and what misses bars all the same."""
        if not cached.of_kind(self.kind):
            return self.requests(self.tickers)
        missing = self.completeness(cached).missing
        return self.requests([t for t in self.tickers if t not in cached.of_kind(self.kind) or t in missing])

    def stage(self, landing: Landing, /) -> Staged:
        fetched = landing.fetched(self.kind)
        first_dates = self.first_dates
        return stage_bars(self.run, min(first_dates[ticker] for ticker in fetched), tickers=fetched)

    def incomplete(self, landing: Landing, completeness: Completeness) -> list[FetchRequest]:
        """The tickers that were fetched by this run and still miss bars; the synthetic market would say the same."""
        if landing.is_rate_limited or landing.is_interrupted or self.run.settings.data_origin == "synthetic":
            return []
        charts = landing.of_kind(self.kind).values()
        fetched = {t.ticker for t in charts if t.outcome in (Outcome.OK, Outcome.NO_DATA) and not t.is_cached}
        again = [ticker for ticker in self.tickers if ticker in fetched and ticker in completeness.missing]
        if again:
            logger.info("%s: bars are missing, fetching again: %s", self.run.stage, completeness.describe(again))
        return self.requests(again)

    def completeness(self, landing: Landing) -> Completeness:
        """Compare the staged bars of the served sessions with the exchange calendar."""
        day = F.col("trade_date")
        bars = self.run.staging.read(BARS_TABLE).where(
            F.col("ticker").isin(list(self.tickers)) & (day >= self.sessions[0])
        )
        in_window = F.collect_set(F.when(day <= self.run.as_of, day)).alias("dates")
        rows = bars.groupBy("ticker").agg(in_window, F.min(day).alias("first_bar")).collect()
        first_bars = dict(self.known.first_bars)
        for row in rows:
            first_bars[row["ticker"]] = min(row["first_bar"], first_bars.get(row["ticker"], dt.date.max))
        present = {row["ticker"]: frozenset(row["dates"]) for row in rows}
        return judge_completeness(self.served_sessions, present, self._expected_from(landing, first_bars))

    def requests(self, tickers: Sequence[str]) -> list[FetchRequest]:
        """Ask for each ticker's bars from its first date to the last completed session.

        A chart costs one request for any range. It runs beyond the as-of session because closes stand on the price
        basis of today: only so do later splits, which they already contain, become known.
        """
        last = market_calendar.last_completed_session(self.run.request.now)
        first_dates = self.first_dates
        return [FetchRequest(self.kind, (ticker,), first_dates[ticker], last) for ticker in tickers]

    def _expected_from(self, landing: Landing, first_bars: Mapping[str, dt.date]) -> dict[str, dt.date]:
        """From which date on each ticker must have bars; a stock that the source does not list is skipped.

        It is the ticker's first bar, where earlier ones were asked for and there were none.
        """
        unlisted = landing.summary(self.kind).tickers_with(*_WITHOUT_LISTING)
        fetched, first_dates, first_session = landing.fetched(self.kind), self.first_dates, self.sessions[0]
        expected = {}
        for ticker in self.tickers:
            first_asked = first_dates[ticker] if ticker in fetched else self.known.first_asked.get(ticker, dt.date.max)
            if ticker in first_bars or ticker in FUNDS or ticker not in unlisted:
                is_listed_later = ticker in first_bars and first_asked <= first_session
                expected[ticker] = first_bars[ticker] if is_listed_later else dt.date.min
        return expected


def missing_bars(run: Run, tickers: Sequence[str]) -> Completeness:
    """Say which bars staging lacks of the sessions that the run is to serve."""
    return Charts(run, tickers, read_known(run, tickers, [Kind.CHART])).completeness(Landing())


def stage_bars(run: Run, first: dt.date, *, tickers: Sequence[str] | None = None, runs: Sequence[str] = ()) -> Staged:
    """Stage the bars that were fetched and that are new or differ; bars that break a rule are rejected with the reason.

    Args:
        first: no bar that was fetched is older.
        tickers: those that were fetched, where known.
        runs: take the fetches of these runs, not of this one.
    """
    with staging_table_lock(run.database, BARS_TABLE):
        fetched = fetches_to_stage(run, Kind.CHART, runs)
        staged = run.staging.read(BARS_TABLE).where(F.col("trade_date") >= first)
        if tickers is not None:
            is_asked = F.col("ticker").isin(list(tickers))
            fetched, staged = fetched.where(is_asked), staged.where(is_asked)
        rejected, sound = _checked(run, fetched.select("ticker", *PROVENANCE, F.inline("bars")), first)
        added = Observation()
        restated = F.collect_set(F.when(F.col("is_restated"), F.col("ticker"))).alias("restated")
        new = new_bars(sound, staged).observe(added, restated, _bars_with("price_outlier_percent").alias("outliers"))
        version = run.staging.append(BARS_TABLE, new)
    return Staged(
        {BARS_TABLE: version},
        tuple(_as_rejected(row) for row in rejected.get["bars"]),
        frozenset(added.get["restated"]),
        tuple(_as_outlier(row) for row in added.get["outliers"]),
    )


def outliers_of(run: Run, runs: Sequence[str]) -> tuple[Outlier, ...]:
    """Report the outliers among the staged bars that other `runs` had landed and could not report."""
    landed = run.staging.fetches_of(runs, Kind.CHART).select("ticker", *PROVENANCE, F.inline("bars"))
    _, sound = _checked(run, landed, market_calendar.FIRST_SESSION)
    staged = run.staging.read(BARS_TABLE).select("ticker", "trade_date", "fetched_at")
    kept = sound.where(F.col("price_outlier_percent").isNotNull()).join(staged, on=staged.columns, how="left_semi")
    return tuple(
        _as_outlier(row) for row in kept.agg(_bars_with("price_outlier_percent").alias("bars")).collect()[0]["bars"]
    )


def _checked(run: Run, bars: DataFrame, first: dt.date) -> tuple[Observation, DataFrame]:
    """Collect the bars that break a rule in the observation, and add price_outlier_percent to the sound ones."""
    last = market_calendar.last_completed_session(run.request.now)
    sessions = run.sessions(market_calendar.sessions_between(first, last))
    rejected = Observation()
    checked = bars.transform(with_bar_defect, sessions).observe(rejected, _bars_with("defect").alias("bars"))
    sound = checked.where(F.col("defect").isNull()).drop("defect")
    return rejected, sound.transform(with_outlier, sessions, **run.settings.quality.limits)


def _bars_with(finding: str) -> Column:
    """Collect the bars whose column `finding` is not null; `collect_list` skips the nulls of the others."""
    bar = F.struct("ticker", *BAR.fieldNames(), finding)
    return F.sort_array(F.collect_list(F.when(F.col(finding).isNotNull(), bar)))


def _as_rejected(row: Row) -> ConsumerError:
    values = row.asDict()
    defect = values.pop("defect")
    return ConsumerError(f"bar of {values['ticker']} {values['trade_date']}: {defect}", _as_text(values))


def _as_outlier(row: Row) -> Outlier:
    values = row.asDict()
    percent = values.pop("price_outlier_percent")
    return Outlier(values["ticker"], values["trade_date"], percent, _as_text(values))


def _as_text(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
