"""Daily bars: what to ask, which bars are sound and new, which are missing, what was restated."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Observation, Row
from pyspark.sql import functions as F

from spark_app import market_calendar
from spark_app.ingestion.absence import ended_charts
from spark_app.ingestion.cache import read_known
from spark_app.ingestion.completeness import Completeness, judge_completeness
from spark_app.ingestion.current import PROVENANCE, fetches_to_stage
from spark_app.ingestion.feeds import Feed, Outlier, Staged
from spark_app.ingestion.landing import Landing
from spark_app.pipeline.run import Run
from spark_app.schemas import BAR
from spark_app.sources.contract import ABSENT, FetchRequest, Kind, Outcome
from spark_app.storage.delta.staging import BARS_TABLE
from spark_app.storage.postgres.locks import staging_table_lock
from spark_app.storage.postgres.run_log import ConsumerError
from spark_app.transforms.new_rows import new_bars
from spark_app.transforms.outliers import with_outlier
from spark_app.transforms.prices import with_bar_defect
from spark_app.universe import FUNDS


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

    def doubtful(self, landing: Landing, completeness: Completeness, /) -> Collection[str]:
        """The tickers that were fetched by this run and still miss bars."""
        charts = landing.of_kind(self.kind).values()
        fetched = {t.ticker for t in charts if t.outcome in (Outcome.OK, *ABSENT) and not t.is_cached}
        return fetched & completeness.missing.keys()

    def describe_missing(self, tickers: Sequence[str], completeness: Completeness, /) -> str:
        return completeness.describe(tickers)

    def completeness(self, landing: Landing) -> Completeness:
        """Compare the staged bars of the served sessions with the exchange calendar."""
        recent = self.run.window(self.run.settings.gate.delisted_after_sessions)
        day, tickers = F.col("trade_date"), {*self.tickers, *FUNDS}
        bars = self.run.staging.read(BARS_TABLE).where(
            F.col("ticker").isin(list(tickers)) & (day >= min(self.sessions[0], recent[0]))
        )
        in_window = F.collect_set(F.when(day <= self.run.as_of, day)).alias("dates")
        rows = bars.groupBy("ticker").agg(in_window, F.min(day).alias("first"), F.max(day).alias("last")).collect()
        first_bars, last_bars = dict(self.known.first_bars), dict(self.known.last_bars)
        for row in rows:
            first_bars[row["ticker"]] = min(row["first"], first_bars.get(row["ticker"], dt.date.max))
            last_bars[row["ticker"]] = max(row["last"], last_bars.get(row["ticker"], dt.date.min))
        present = {row["ticker"]: frozenset(row["dates"]) for row in rows}
        answered = [t.ticker for t in landing.answered(self.kind) if t.ticker in last_bars]
        return judge_completeness(
            self.served_sessions,
            present,
            self._expected_from(landing, first_bars),
            ended=ended_charts(
                {ticker: last_bars[ticker] for ticker in answered},
                {fund: present.get(fund, frozenset()) for fund in FUNDS},
                recent,
            ),
            absent={t: last_bars.get(t) for t in self.confirmed_absent(landing)},
        )

    def requests(self, tickers: Sequence[str]) -> list[FetchRequest]:
        """Ask for each ticker's bars from its first date to the last completed session.

        A chart costs one request for any range. It runs beyond the as-of session because closes stand on the price
        basis of today: only so do later splits, which they already contain, become known.
        """
        last = market_calendar.last_completed_session(self.run.request.now)
        first_dates = self.first_dates
        return [FetchRequest(self.kind, (ticker,), first_dates[ticker], last) for ticker in tickers]

    def _expected_from(self, landing: Landing, first_bars: Mapping[str, dt.date]) -> dict[str, dt.date]:
        """From which date on each ticker should have bars.

        A fund's first session is known. A stock's is its first bar, where a chart covers the window from the start.
        """
        covered = self._covered_from(landing)
        first_sessions = self.run.settings.first_sessions
        expected = {}
        for ticker in self.tickers:
            is_listed_later = ticker in first_bars and covered.get(ticker, dt.date.max) <= self.sessions[0]
            expected[ticker] = first_sessions.get(ticker, first_bars[ticker] if is_listed_later else dt.date.min)
        return expected

    def _covered_from(self, landing: Landing) -> dict[str, dt.date]:
        """The earliest date that a chart of each ticker covers, fetched by this run or before."""
        covered = dict(self.known.first_asked)
        for t in landing.tickers:
            if t.kind == self.kind and t.outcome == Outcome.OK and t.window_start is not None:
                covered[t.ticker] = min(t.window_start, covered.get(t.ticker, dt.date.max))
        return covered


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
