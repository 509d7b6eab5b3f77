"""Runs whose work another run has to complete: fetches landed but not staged, or staged but not served."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.locks import try_stage_lock
from spark_app.storage.postgres.provenance import LoggedFetch, log_fetches
from spark_app.storage.postgres.retry import retried
from spark_app.storage.postgres.run_log import ConsumerError, RunKey, log_errors

_UNSERVED_RUNS = """
SELECT run_id FROM logs_pipeline_run
WHERE (stage = %(stage)s OR stage = ANY(%(also)s)) AND run_id <> %(run_id)s AND started_at > coalesce((
    SELECT started_at FROM logs_pipeline_run
    WHERE stage = %(stage)s AND status = 'ok'
      AND (parameters -> 'tickers' IS NULL OR parameters -> 'tickers' @> %(tickers)s)
    ORDER BY as_of_date DESC, started_at DESC LIMIT 1), '-infinity')
UNION SELECT own.run_id FROM logs_pipeline_run AS own JOIN logs_pipeline_run AS other
    ON other.run_id <> own.run_id AND own.started_at < coalesce(
        other.finished_at, CASE WHEN other.staged_at IS NULL THEN 'infinity' ELSE other.staged_at END)
WHERE own.run_id = %(run_id)s AND own.stage = %(stage)s
"""
_MARK_STAGED = "UPDATE logs_pipeline_run SET staged_at = now() WHERE run_id = %s AND stage = %s AND staged_at IS NULL"


@dataclass(frozen=True)
class UnstagedRun:
    """A run and stage whose fetches may not all be staged."""

    run_id: str
    stage: str
    as_of_date: dt.date


@retried
def unstaged_runs(database: Database, run_id: str) -> list[UnstagedRun]:
    """List the other runs of the last 30 days that may have landed fetches without staging all of them."""
    with translated_errors("reading the run log"), database.connect() as connection:
        rows = connection.execute(
            "SELECT run_id, stage, as_of_date FROM logs_pipeline_run"
            " WHERE staged_at IS NULL AND run_id <> %s AND started_at > now() - interval '30 days'",
            (run_id,),
        ).fetchall()
    return [UnstagedRun(*row) for row in rows]


@retried
def unserved_runs(
    database: Database, run_id: str, stage: str, tickers: Sequence[str] | None, also: Sequence[str] = ()
) -> list[str]:
    """List the other runs of a stage since its last good run for its newest session.

    They failed, or had an earlier as-of date: what they restated may be staged and not be served for every date. The
    run itself is listed if another one ran at the same time, which may have staged what it landed.

    Args:
        tickers: those that the good run must have served, None for all.
        also: other jobs whose runs are listed, good ones as well: what they stage, they serve for their own dates.
    """
    wanted = None if tickers is None else Jsonb(list(tickers))
    parameters = {"stage": stage, "run_id": run_id, "tickers": wanted, "also": list(also)}
    with translated_errors("reading the run log"), database.connect() as connection:
        return [row[0] for row in connection.execute(_UNSERVED_RUNS, parameters).fetchall()]


@retried
def mark_recovered(
    database: Database,
    run: RunKey,
    others: Sequence[UnstagedRun],
    errors: Sequence[ConsumerError],
    fetches: Sequence[LoggedFetch] = (),
) -> None:
    """Record that the fetches of other runs are staged, and log them and what was rejected, in one transaction.

    Skips runs that are still running and may land more. `run` has its stage's lock, so others of its own stage and
    date are dead.
    """
    with translated_errors("writing the run log"), database.connect() as connection, connection.transaction():
        marked = 0
        for other in others:
            is_ours = (other.stage, other.as_of_date) == (run.stage, run.as_of_date)
            if is_ours or try_stage_lock(connection, other.stage, other.as_of_date):
                marked += connection.execute(_MARK_STAGED, (other.run_id, other.stage)).rowcount
        if marked:
            log_errors(connection, run, errors)
            log_fetches(connection, fetches)
