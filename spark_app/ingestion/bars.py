"""Bringing the bars of some tickers up to date: ask for what is due, stage it, ask once more for what is missing."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_app import market_calendar
from spark_app.ingestion.cache import Known, read_known
from spark_app.ingestion.completeness import Completeness, judge_completeness
from spark_app.ingestion.fetching import chart_requests, land
from spark_app.ingestion.landing import Landing
from spark_app.ingestion.staging_rows import StagedBars, read_bars, recover_unstaged, stage_bars, stage_quotes
from spark_app.pipeline.context import StageContext
from spark_app.sources.contract import FetchRequest, Kind, Outcome
from spark_app.storage.delta.staging import BARS_TABLE
from spark_app.storage.postgres.recovery import unserved_runs
from spark_app.storage.postgres.run_log import ConsumerError
from spark_app.transforms.restatements import restatements
from spark_app.universe import FUNDS

logger = logging.getLogger(__name__)

_WITHOUT_LISTING = (Outcome.NOT_FOUND, Outcome.NO_DATA)
_LISTED = 10


@dataclass(frozen=True, eq=False)
class CollectedBars:
    """What bringing bars up to date brought.

    `sessions` are those to serve, from `first_served` on, and the one before them; `bars` are the current ones
    of the tickers on these sessions. `restated` says ticker by ticker what a newer fetch says otherwise.
    """

    landing: Landing
    staged: StagedBars
    completeness: Completeness
    restated: tuple[str, ...]
    sessions: Sequence[dt.date]
    first_served: dt.date
    bars: DataFrame

    @property
    def errors(self) -> tuple[ConsumerError, ...]:
        """What was wrong, for `logs_consumer_error`."""
        return self.landing.errors() + self.staged.errors

    def describe(self) -> list[str]:
        """Say what is not as it should be: rejected, jumping, missing and restated bars."""
        parts = []
        if self.staged.rejected:
            parts.append(f"{len(self.staged.rejected)} bars rejected (see logs_consumer_error)")
        if odd := self.landing.odd():
            parts.append(f"{len(odd)} charts with rows left out (see logs_consumer_error)")
        if jumps := self.staged.jumps:
            parts.append(f"{len(jumps)} jumps (see logs_consumer_error): " + ", ".join(map(_brief, jumps[:_LISTED])))
        if self.completeness.missing:
            parts.append(f"missing: {self.completeness.describe()}")
        if self.restated:
            parts.append("restated: " + ", ".join(self.restated[:_LISTED]))
        if len(self.restated) > _LISTED:
            parts.append(f"and {len(self.restated) - _LISTED} tickers more")
        return parts


def _brief(jump: ConsumerError) -> str:
    """A jump without the words that all of them have in common."""
    return jump.error_msg.removeprefix("bar of ").replace(": jump of", "").partition(" that ")[0]


@dataclass(frozen=True, eq=False)
class _Task:
    """The sessions wanted of some tickers; the first of them only gives the first price change."""

    context: StageContext
    tickers: Sequence[str]
    sessions: Sequence[dt.date]
    known: Known

    @property
    def asked_from(self) -> dict[str, dt.date]:
        return self.known.first_dates(self.tickers, self.sessions[0])

    def requests(self, tickers: Sequence[str]) -> list[FetchRequest]:
        first_dates = {ticker: first for ticker, first in self.asked_from.items() if ticker in tickers}
        return chart_requests(first_dates, self.context.request.now)


def collect_bars(
    context: StageContext, stage: str, tickers: Sequence[str], known: Known, also: Sequence[FetchRequest] = ()
) -> CollectedBars:
    """Bring the bars of `tickers` up to date for the sessions that the run serves.

    Asked is what no fresh fetch holds and what bars are missing of; what is missing then is asked for once more.
    Quotes that come with the charts are staged, too.

    Args:
        known: what staging knows of the tickers.
        also: other requests, to go out with the charts.
    """
    task = _Task(context, tickers, context.window(context.request.days + 1), known)
    recover_unstaged(context, stage)
    held = known.held(task.requests(tickers))
    landing = held.joined(land(context, [*task.requests(_due(task, held)), *also]))
    staged = _stage(task, landing)
    completeness = _completeness(task, landing)
    if again := _worth_asking_again(task, landing, completeness):
        logger.info("%s: asking once more for %s", stage, completeness.describe(again))
        second = land(context, task.requests(again))
        landing = landing.joined(second)
        staged = staged.joined(_stage(task, second))
        completeness = _completeness(task, landing)
    return _collected(task, stage, landing, staged, completeness)


def missing_bars(context: StageContext, tickers: Sequence[str]) -> Completeness:
    """Say what staging misses of the sessions that the run is to serve."""
    known = read_known(context, tickers, [Kind.CHART])
    task = _Task(context, tickers, context.window(context.request.days + 1), known)
    return _completeness(task, Landing())


def _due(task: _Task, held: Landing) -> list[str]:
    if not held.tickers:
        return list(task.tickers)
    incomplete = _completeness(task, held).missing
    return [ticker for ticker in task.tickers if ticker not in held.of(Kind.CHART) or ticker in incomplete]


def _stage(task: _Task, landing: Landing) -> StagedBars:
    """Stage what was landed just now; the quotes beside the charts, since they go to another table."""
    with ThreadPoolExecutor(1) as beside:
        quotes = beside.submit(stage_quotes, task.context) if landing.came(Kind.QUOTE) else None
        bars = _stage_charts(task, landing)
    return replace(bars, quotes_version=quotes.result()) if quotes else bars


def _stage_charts(task: _Task, landing: Landing) -> StagedBars:
    came = landing.came(Kind.CHART)
    if not came:
        return StagedBars()
    first = min(task.asked_from[ticker] for ticker in came)
    return stage_bars(task.context, first, tickers=came)


def _completeness(task: _Task, landing: Landing) -> Completeness:
    day = F.col("trade_date")
    bars = task.context.staging.read(BARS_TABLE).where(
        F.col("ticker").isin(list(task.tickers)) & (day >= task.sessions[0])
    )
    is_wanted = day <= task.context.as_of
    in_window = F.collect_set(F.when(is_wanted, day)).alias("dates")
    rows = bars.groupBy("ticker").agg(in_window, F.min(day).alias("first_bar")).collect()
    first_bars = dict(task.known.first_bars)
    for row in rows:
        first_bars[row["ticker"]] = min(row["first_bar"], first_bars.get(row["ticker"], dt.date.max))
    served = task.sessions[-task.context.request.days :]
    present = {row["ticker"]: frozenset(row["dates"]) for row in rows}
    return judge_completeness(served, present, _expected_from(task, landing, first_bars))


def _expected_from(task: _Task, landing: Landing, first_bars: Mapping[str, dt.date]) -> dict[str, dt.date]:
    """From which date on each ticker must have bars; a stock that the source has nothing of is left out.

    It is the ticker's first bar, where somebody has asked for earlier ones and there were none.
    """
    nothing = landing.summary(Kind.CHART).tickers_with(*_WITHOUT_LISTING)
    came = landing.came(Kind.CHART)
    expected = {}
    for ticker in task.tickers:
        first_asked = task.asked_from[ticker] if ticker in came else task.known.first_asked.get(ticker, dt.date.max)
        if ticker in first_bars or ticker in FUNDS or ticker not in nothing:
            is_listed_later = ticker in first_bars and first_asked <= task.sessions[0]
            expected[ticker] = first_bars[ticker] if is_listed_later else dt.date.min
    return expected


def _worth_asking_again(task: _Task, landing: Landing, completeness: Completeness) -> list[str]:
    """The tickers that were answered just now, and still miss bars; the synthetic market would say the same again."""
    if landing.is_rate_limited or landing.is_interrupted or task.context.settings.data_origin == "synthetic":
        return []
    charts = landing.of(Kind.CHART)
    answered = {t.ticker for t in charts.values() if t.outcome in (Outcome.OK, Outcome.NO_DATA) and not t.is_cached}
    return sorted(answered & completeness.missing.keys())


def _collected(
    task: _Task, stage: str, landing: Landing, staged: StagedBars, completeness: Completeness
) -> CollectedBars:
    restated, first_restated = _restated(task, stage, staged)
    sessions, first_served = task.sessions, task.sessions[-task.context.request.days :][0]
    if first_restated is not None and first_restated < first_served:
        # The first session of every fetch is not served: its price change is unknown.
        stored = market_calendar.sessions_between(min(task.asked_from.values()), task.context.as_of)
        first_served = min(max(first_restated, stored[1]), first_served)
        sessions = stored[stored.index(first_served) - 1 :]
    bars = read_bars(task.context, sessions[0], task.context.as_of)
    wanted = bars.where(F.col("ticker").isin(list(task.tickers)))
    return CollectedBars(landing, staged, completeness, restated, sessions, first_served, wanted)


def _restated(task: _Task, stage: str, staged: StagedBars) -> tuple[tuple[str, ...], dt.date | None]:
    """Say what was restated and is not served yet, and from which session on."""
    context, tickers = task.context, task.tickers
    runs = unserved_runs(context.database, context.request.run_id, stage, context.request.tickers)
    if not runs:
        tickers = list(staged.restated)
    if staged.restated:
        runs.append(context.request.run_id)
    if not runs:
        return (), None
    bars = context.staging.read(BARS_TABLE).where(F.col("ticker").isin(list(tickers)))
    rows = restatements(bars, runs).orderBy("ticker").collect()
    told = tuple(
        f"{row['ticker']} {row['kind']} x{row['ratio']:.6g} in {row['sessions']} sessions"
        f" {row['first_date']}..{row['last_date']}"
        for row in rows
    )
    return told, min((row["first_date"] for row in rows), default=None)
