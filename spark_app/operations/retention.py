"""Retention: rows that are older than the settings keep them are removed, from Postgres first, then from staging.

Killed at any moment and run again it ends the same: each step is computed from what is left.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from pyspark.sql import DataFrame

from spark_app.config.installation import LAUNCHER
from spark_app.config.settings import load_database_settings
from spark_app.operations.retention_plan import (
    REPLACED,
    Limits,
    StagedCut,
    funds_kept_from,
    read_limits,
    shortened_tickers,
    staged_cuts,
)
from spark_app.pipeline.preparation import prepare_staging
from spark_app.pipeline.run import Run
from spark_app.storage.delta.removal import compact, narrow_charts, note_whole_from, reclaim, remove_rows
from spark_app.storage.delta.staging import BARS_TABLE, FETCHES_TABLE, HOLDINGS_TABLE, QUOTES_TABLE
from spark_app.storage.postgres import retention as served
from spark_app.storage.postgres.database import Database, administrator_of
from spark_app.storage.postgres.locks import tables_exclusive_lock
from spark_app.storage.postgres.retention import Cut, OldRows
from spark_app.text_table import draw_table

logger = logging.getLogger(__name__)

_TABLES = (FETCHES_TABLE, BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE)


def remove_old(run: Run) -> int:
    """Show what is older than the settings keep it, and remove it unless this is a dry run; returns the exit code."""
    prepare_staging(run)
    admin = administrator_of(load_database_settings(), run.database)
    with contextlib.nullcontext() if run.request.dry_run else tables_exclusive_lock(run.database) as lock:
        if lock is not None:
            run = replace(run, confirm_lock=lock.confirm)
        plan = plan_retention(run, admin)
        run.summary.findings["retention"] = [asdict(cut) for cut in plan.cuts]
        logger.info("%s", draw_cuts(plan.cuts))
        before = staging_size(run)
        if run.request.dry_run:
            logger.info("nothing was removed: this is a dry run")
        else:
            apply_retention(run, admin, plan)
            logger.info("apply_retention: done; %s", describe_space(run, before))
        if loss := describe_loss(run, plan):
            logger.info("%s", loss)
    return 0


@dataclass(frozen=True, eq=False)
class RetentionPlan:
    """The expired rows of served and of staging tables, counted, and the tickers that lose bars."""

    limits: Limits
    served: tuple[OldRows, ...]
    staged: tuple[StagedCut, ...]
    shortened: DataFrame
    cuts: tuple[Cut, ...]


def plan_retention(run: Run, admin: Database) -> RetentionPlan:
    """Find the expired rows; changes nothing."""
    limits = read_limits(run)
    old = _old_served(run, limits)
    staged = staged_cuts(run, limits)
    measured = [served.measure(admin, rows) for rows in old] + [cut for part in staged for cut in part.measure()]
    cuts = tuple(cut for cut in measured if cut.rows)
    return RetentionPlan(limits, tuple(old), tuple(staged), shortened_tickers(run, limits), cuts)


def apply_retention(run: Run, admin: Database, plan: RetentionPlan) -> None:
    """Remove what the plan names and reclaim the space; no other run may be active."""
    for old in plan.served:
        run.confirm_lock()
        served.remove(admin, old)
    tables = {cut.table for cut in plan.cuts}
    # Before anything is removed: a run that is killed in between has then noted too much, never too little.
    if plan.limits.superseded and any(cut.reason == REPLACED for cut in plan.cuts):
        note_whole_from(run.staging, plan.limits.superseded)
    # Fetches first: a fetch must not claim a session whose bars are removed.
    if not plan.shortened.isEmpty():
        run.confirm_lock()
        narrow_charts(run.staging, plan.shortened)
    for part in plan.staged:
        if f"staging {part.table}" in tables:
            run.confirm_lock()
            remove_rows(run.staging, part.table, part.expired, part.key)
    for table in _TABLES:
        _tidy(run, table)


def _tidy(run: Run, table: str) -> None:
    """Compact a staging table that has too many files, and delete the files that it no longer uses."""
    keep, files = run.settings.retention, run.staging.count_files(table)
    if not files:
        return
    run.confirm_lock()
    if files > keep.compact_above_files:
        compact(run.staging, table)
        logger.info("staging %s: %d files compacted to %d", table, files, run.staging.count_files(table))
        run.confirm_lock()
    reclaim(run.staging, table, unused_for=dt.timedelta(hours=keep.vacuum_hours))


def draw_cuts(cuts: Sequence[Cut]) -> str:
    """Draw the removed rows as a table."""
    if not cuts:
        return "Nothing to remove."
    rows = [(cut.table, cut.reason, f"{cut.rows:,}", str(cut.oldest), str(cut.newest)) for cut in cuts]
    return draw_table(("table", "what", "rows", "oldest", "newest"), rows, right={2})


def describe_loss(run: Run, plan: RetentionPlan) -> str:
    """Say which results can no longer be rebuilt from staging, "" where all can."""
    first = plan.limits.first_session
    if first is None:
        return ""
    dates, oldest, newest = served.not_rebuildable(run.database, first)
    if not dates:
        return ""
    return (
        f"analytics of {dates} dates from {oldest} to {newest} cannot be rebuilt from staging, which then serves"
        f" sessions from {first} on; keep a copy of the database: {LAUNCHER} db dump FILE"
    )


def staging_size(run: Run) -> int:
    """Return the bytes that the staging tables take."""
    return sum(run.staging.size(table) for table in _TABLES)


def describe_space(run: Run, before: int) -> str:
    """Say what the staging tables take now, `before` bytes having been taken before."""
    hours = run.settings.retention.vacuum_hours
    sizes = f"staging took {before / 2**20:,.1f} MB and takes {staging_size(run) / 2**20:,.1f} MB"
    if hours == 0:
        return sizes
    return f"{sizes}; unused files are kept for {hours:g} hours, then a later run deletes them"


def _old_served(run: Run, limits: Limits) -> list[OldRows]:
    old: list[OldRows] = []
    if limits.first_session is not None:
        old += served.old_prices(limits.first_session)
        old += served.old_holdings(funds_kept_from(run, limits))
    if limits.first_analytics is not None:
        old += served.old_analytics(limits.first_analytics)
    if limits.errors is not None:
        old += served.old_errors(limits.errors)
    if limits.runs is not None:
        old += served.old_runs(limits.runs)
    return old
