"""Staging what killed or failed runs had landed, and logging what was wrong with it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from spark_app import market_calendar
from spark_app.ingestion.charts import outliers_of, stage_bars
from spark_app.ingestion.holdings import stage_holdings
from spark_app.ingestion.landing import Landing
from spark_app.ingestion.quotes import stage_quotes
from spark_app.ingestion.waves import read_landings
from spark_app.pipeline.run import Run
from spark_app.sources.contract import Outcome
from spark_app.storage.postgres.locks import is_running
from spark_app.storage.postgres.recovery import UnstagedRun, mark_recovered, unstaged_runs
from spark_app.storage.postgres.run_log import ConsumerError, RunKey

logger = logging.getLogger(__name__)


def recover_unstaged(run: Run) -> None:
    """Stage what other runs landed and did not stage, and log what was wrong with it, once."""
    others = unstaged_runs(run.database, run.request.run_id)
    if not others:
        return
    # Before anything is read: what a running one lands after that would be marked as staged, if it dies meanwhile.
    dead = [other for other in others if not _is_running(run, other)]
    key = RunKey(run.request.run_id, run.stage, run.as_of, {})
    landed = run.staging.fetches_of([other.run_id for other in others]).select("run_id").distinct().collect()
    if not (runs := tuple(sorted(row["run_id"] for row in landed))):
        mark_recovered(run.database, key, dead, ())
        return
    staged = stage_bars(run, market_calendar.FIRST_SESSION, runs=runs)
    stage_holdings(run, runs=runs)
    stage_quotes(run, runs=runs)
    outliers = tuple(outlier.error for outlier in outliers_of(run, runs))
    landings = read_landings(run.staging.fetches_of(runs))
    errors = (*staged.rejected, *outliers, *_failed_requests(landings))
    fetches = [fetch for run_id, landing in landings.items() for fetch in landing.logged(run_id)]
    mark_recovered(run.database, key, dead, errors, fetches)
    logger.info("%s: staged what %d runs had left, %d bars of it rejected", run.stage, len(runs), len(staged.rejected))


def _is_running(run: Run, other: UnstagedRun) -> bool:
    """Whether another run is at work; none is of this run's stage and date, for this run has their lock."""
    is_ours = (other.stage, other.as_of_date) == (run.stage, run.as_of)
    return not is_ours and is_running(run.database, other.stage, other.as_of_date)


def _failed_requests(landings: Mapping[str, Landing]) -> tuple[ConsumerError, ...]:
    """What these runs asked for in vain and could not log."""
    failed = [t for landing in landings.values() for t in landing.tickers if t.outcome != Outcome.OK]
    return Landing(failed).errors()
