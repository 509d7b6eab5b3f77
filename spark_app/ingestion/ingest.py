"""The one verb that brings data in: due -> waves -> landed -> staged -> complete; the gate then judges it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from spark_app.errors import first_to_count
from spark_app.ingestion.cache import read_known
from spark_app.ingestion.charts import Charts
from spark_app.ingestion.completeness import Completeness
from spark_app.ingestion.feeds import Feed, Staged
from spark_app.ingestion.files.answers import staged_answers
from spark_app.ingestion.gate import Verdict
from spark_app.ingestion.holdings import Holdings
from spark_app.ingestion.landing import Landing
from spark_app.ingestion.quotes import Quotes
from spark_app.ingestion.recovery import recover_unstaged
from spark_app.ingestion.waves import land
from spark_app.pipeline.result import StageResult
from spark_app.pipeline.run import Run
from spark_app.sources.contract import Kind
from spark_app.storage.postgres.provenance import Provenance
from spark_app.storage.postgres.publishing.publication import Publication


@dataclass(frozen=True, eq=False)
class Ingested:
    """What an ingestion brought.

    Attributes:
        feeds: what was asked for, by kind.
        landing: the outcome of every ticker, fetched or cached.
        staged: what reached the staging tables, and what was rejected.
        completeness: the bars that the exchange calendar promises, and those that are missing.
    """

    feeds: Sequence[Feed]
    landing: Landing
    staged: Staged
    completeness: Completeness

    @property
    def snapshots(self) -> list[tuple[str, dt.date]]:
        """The funds whose holdings are known, each with the date of its snapshot."""
        return [(t.ticker, t.snapshot_date) for t in self.landing.answered(Kind.HOLDINGS) if t.snapshot_date]

    @property
    def provenance(self) -> Provenance:
        """What was fetched, and what it brought: snapshots and quotes, fetched or cached."""
        run = self.feeds[0].run
        read = {feed.table for feed in self.feeds}
        inputs: dict[str, object] = {"staging_versions": run.staging_versions(read)}
        if self.snapshots:
            inputs["holdings_dates"] = {fund: str(date) for fund, date in sorted(self.snapshots)}
        if dates := sorted(t.quote_date for t in self.landing.answered(Kind.QUOTE) if t.quote_date):
            inputs["quote_dates"] = {"first": str(dates[0]), "last": str(dates[-1])}
        outliers = len(self.staged.outliers) if _charts(self.feeds) else None
        return Provenance(inputs, outliers=outliers, fetches=self.landing.logged(run.request.run_id))

    def confirmed_absent(self, kind: Kind) -> frozenset[str]:
        """The tickers of which it is believed that there is no data of one kind."""
        return next(feed.confirmed_absent(self.landing) for feed in self.feeds if feed.kind == kind)

    def result(
        self,
        message: Iterable[str],
        *served: Publication,
        gate: Sequence[Verdict],
        provenance: Provenance | None = None,
    ) -> StageResult:
        """Return the result of the stage: rows are served only if every verdict lets them pass.

        Args:
            message: the parts of its sentence; empty ones are skipped.
            provenance: that of the ingestion, where the stage knows more.
        """
        return StageResult(
            message=", ".join(part for part in message if part),
            publications=served if all(verdict.may_publish for verdict in gate) else (),
            fetched=self.landing.summary(self.feeds[0].kind),
            errors=self.landing.errors() + self.staged.errors,
            rows_rejected=len(self.staged.rejected),
            delta_versions={feed.table: self.staged.versions.get(feed.table, 0) for feed in self.feeds},
            provenance=provenance or self.provenance,
            failure=first_to_count([verdict.failure for verdict in gate if verdict.failure]),
        )


def ingest(
    run: Run, *, charts: Sequence[str] = (), holdings: Sequence[str] = (), quotes: Sequence[str] = ()
) -> Ingested:
    """Bring the bars, holdings and quotes of these tickers up to date for the as-of session of the run.

    Asked for is what no fresh fetch in staging answers. Each wave lands in `fetches` by one append; then rows that are
    new or differ are staged. What still misses bars, or has no data although it should, is fetched again.
    With `--source files` nothing is asked: what was imported is the answer.
    """
    recover_unstaged(run)
    feeds = _feeds(run, charts, holdings, quotes)
    if run.settings.data_origin == "files":
        landing = staged_answers(run, feeds)
        return Ingested(feeds, landing, Staged(), _completeness(feeds, landing))
    landing = Landing.of(feed.cached for feed in feeds)
    landing = landing.joined(land(run, [request for feed in feeds for request in feed.due(landing)]))
    ingested = Ingested(feeds, landing, _stage(feeds, landing), _completeness(feeds, landing))
    return _with_missing(run, ingested)


def _feeds(run: Run, charts: Sequence[str], holdings: Sequence[str], quotes: Sequence[str]) -> list[Feed]:
    asked = {Kind.CHART: charts, Kind.HOLDINGS: holdings, Kind.QUOTE: quotes}
    known = read_known(run, sorted({*charts, *holdings, *quotes}), [kind for kind, tickers in asked.items() if tickers])
    feeds: list[Feed] = [Charts(run, charts, known), Holdings(run, holdings, known), Quotes(run, quotes, known)]
    return [feed for feed in feeds if feed.tickers]


def _stage(feeds: Sequence[Feed], landing: Landing) -> Staged:
    """Stage what was fetched, all kinds at once: each has a table of its own."""
    with ThreadPoolExecutor() as pool:
        parts = pool.map(lambda feed: feed.stage(landing), [feed for feed in feeds if landing.fetched(feed.kind)])
    staged = Staged()
    for part in parts:
        staged = staged.joined(part)
    return staged


def _with_missing(run: Run, first: Ingested) -> Ingested:
    """Fetch again what was fetched and still misses bars, or has no data although it should."""
    again = [request for feed in first.feeds for request in feed.incomplete(first.landing, first.completeness)]
    if not again:
        return first
    second = land(run, again)
    landing, staged = first.landing.joined(second), first.staged.joined(_stage(first.feeds, second))
    return Ingested(first.feeds, landing, staged, _completeness(first.feeds, landing))


def _completeness(feeds: Sequence[Feed], landing: Landing) -> Completeness:
    """Only bars have a calendar that promises them."""
    return next((charts.completeness(landing) for charts in _charts(feeds)), Completeness({}, {}))


def _charts(feeds: Sequence[Feed]) -> list[Charts]:
    return [feed for feed in feeds if isinstance(feed, Charts)]
