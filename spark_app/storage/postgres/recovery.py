"""Runs whose work another run has to complete: fetches landed but not staged, or staged but not served."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from spark_app.schemas import ServedTable
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.locks import try_stage_lock
from spark_app.storage.postgres.provenance import LoggedFetch, Restatement, log_fetches
from spark_app.storage.postgres.retry import retried
from spark_app.storage.postgres.run_log import ConsumerError, RunKey, log_errors

# A run of another job writes the newest bar, too, and serves no more than its own dates.
_NEWEST_SERVED = """
SELECT asked.ticker, newest.trade_date, coalesce((
    SELECT run.started_at FROM {table} AS served JOIN logs_pipeline_run AS run USING (run_id)
    WHERE served.ticker = asked.ticker AND run.stage = %(stage)s
    ORDER BY served.trade_date DESC LIMIT 1), '-infinity') AS served_since
FROM unnest(%(tickers)s::text[]) AS asked (ticker) CROSS JOIN LATERAL (
    SELECT trade_date FROM {table} WHERE ticker = asked.ticker ORDER BY trade_date DESC LIMIT 1) AS newest
"""
_UNSERVED_RUNS = """
SELECT newest.ticker, other.run_id FROM ({}) AS newest JOIN logs_pipeline_run AS other
    ON other.run_id <> %(run_id)s AND (other.stage = %(stage)s OR other.stage = ANY(%(also)s))
    AND coalesce(other.finished_at, other.staged_at, 'infinity') > newest.served_since
    AND NOT (other.stage = %(stage)s AND other.status = 'ok' AND other.as_of_date >= newest.trade_date)
UNION SELECT asked.ticker, own.run_id
FROM unnest(%(tickers)s::text[]) AS asked (ticker), logs_pipeline_run AS own JOIN logs_pipeline_run AS other
    ON other.run_id <> own.run_id AND own.started_at < coalesce(
        other.finished_at, CASE WHEN other.staged_at IS NULL THEN 'infinity' ELSE other.staged_at END)
WHERE own.run_id = %(run_id)s AND own.stage = %(stage)s
"""
# The first and the last served one of the restated bars: a run may serve only the newest, or stop in the past.
_STALE = """
SELECT asked.number FROM unnest(%(ticker)s::text[], %(first)s::date[], %(last)s::date[], %(noticed_at)s::timestamptz[])
    WITH ORDINALITY AS asked (ticker, first, last, noticed_at, number)
WHERE EXISTS (
    SELECT FROM {table} AS served, (
        SELECT min(trade_date) AS first, max(trade_date) AS last FROM {table}
        WHERE ticker = asked.ticker AND trade_date BETWEEN asked.first AND asked.last) AS restated
    WHERE served.ticker = asked.ticker AND served.trade_date IN (restated.first, restated.last)
      AND served.fetched_at < asked.noticed_at)
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
    database: Database,
    run_id: str,
    stage: str,
    tables: Sequence[ServedTable],
    tickers: Sequence[str],
    also: Sequence[str] = (),
) -> set[tuple[str, str]]:
    """List the tickers and the other runs of a stage that may have restated bars of them that are not served.

    Since a run of the stage last served a new bar of the ticker, such a run failed, or had an as-of date before the
    newest bar: what it restated may be staged but not served. The run itself is listed with each ticker if another one
    ran at the same time, which may have staged what it landed. `unserved_restatements` tells what of
    it is served by now.

    Args:
        tables: those that serve the tickers' bars. A ticker without a row there has no bar that could be old.
        also: other jobs whose runs are listed, good ones as well: what they stage, they serve for their own dates.
    Returns: pairs of ticker and run_id.
    """
    newest = [sql.SQL(_NEWEST_SERVED).format(table=sql.Identifier(table.name)) for table in tables]
    statement = sql.SQL(_UNSERVED_RUNS).format(sql.SQL(" UNION ALL ").join(newest))
    parameters = {"stage": stage, "run_id": run_id, "tickers": list(tickers), "also": list(also)}
    with translated_errors("reading the run log"), database.connect() as connection:
        return set(connection.execute(statement, parameters).fetchall())


@retried
def unserved_restatements(
    database: Database, tables: Sequence[ServedTable], restatements: Sequence[Restatement]
) -> list[Restatement]:
    """Keep the restatements of which a table still has a bar that was fetched before."""
    if not restatements:
        return []
    given = {
        "ticker": [restatement.ticker for restatement in restatements],
        "first": [restatement.first_trade_date for restatement in restatements],
        "last": [restatement.last_trade_date for restatement in restatements],
        "noticed_at": [restatement.noticed_at for restatement in restatements],
    }
    stale = sql.SQL(" UNION ").join(sql.SQL(_STALE).format(table=sql.Identifier(table.name)) for table in tables)
    with translated_errors("reading served prices"), database.connect() as connection:
        numbers = {number for (number,) in connection.execute(stale, given).fetchall()}
    return [restatement for number, restatement in enumerate(restatements, start=1) if number in numbers]


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
