"""Retention: what is older than the settings want it kept goes, from Postgres first and then from staging.

Killed at any moment and run again it ends the same: each step is worked out anew from what is left.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame

from spark_app.config.installation import LAUNCHER
from spark_app.operations.retention_plan import (
    REPLACED,
    Limits,
    StagedCut,
    funds_kept_from,
    read_limits,
    shortened_tickers,
    staged_cuts,
)
from spark_app.pipeline.context import StageContext
from spark_app.storage.delta.removal import narrow_charts, note_whole_from, reclaim, remove_rows
from spark_app.storage.delta.staging import BARS_TABLE, FETCHES_TABLE, HOLDINGS_TABLE, QUOTES_TABLE
from spark_app.storage.postgres import retention as served
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.retention import Cut, OldRows
from spark_app.text_table import draw_table

_TABLES = (FETCHES_TABLE, BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE)


@dataclass(frozen=True, eq=False)
class RetentionPlan:
    """What is to go: rows of served and of staging tables, counted, and the tickers that lose bars."""

    limits: Limits
    served: tuple[OldRows, ...]
    staged: tuple[StagedCut, ...]
    shortened: DataFrame
    cuts: tuple[Cut, ...]


def plan_retention(context: StageContext, admin: Database) -> RetentionPlan:
    """Work out what is to go; changes nothing."""
    limits = read_limits(context)
    old = _old_served(context, limits)
    staged = staged_cuts(context, limits)
    measured = [served.measure(admin, rows) for rows in old] + [cut for part in staged for cut in part.measure()]
    cuts = tuple(cut for cut in measured if cut.rows)
    return RetentionPlan(limits, tuple(old), tuple(staged), shortened_tickers(context, limits), cuts)


def apply_retention(context: StageContext, admin: Database, plan: RetentionPlan) -> None:
    """Remove what the plan names and give the space back; nobody else may be at work."""
    for old in plan.served:
        context.confirm_lock()
        served.remove(admin, old)
    doomed = {cut.table for cut in plan.cuts}
    # Before anything goes: killed in between, it may say too much, and never too little.
    if plan.limits.superseded and any(cut.reason == REPLACED for cut in plan.cuts):
        note_whole_from(context.staging, plan.limits.superseded)
    # Fetches first: that a session was asked for may never be claimed longer than its bars are there.
    if not plan.shortened.isEmpty():
        context.confirm_lock()
        narrow_charts(context.staging, plan.shortened)
    for part in plan.staged:
        if f"staging {part.table}" in doomed:
            context.confirm_lock()
            remove_rows(context.staging, part.table, part.doomed, part.key)
    unused_for = dt.timedelta(hours=context.settings.retention.vacuum_hours)
    for table in _TABLES:
        if context.staging.size(table):
            context.confirm_lock()
            reclaim(context.staging, table, unused_for=unused_for)


def draw_cuts(cuts: Sequence[Cut]) -> str:
    """Draw what goes as a table."""
    if not cuts:
        return "Nothing is older than it is to be kept."
    rows = [(cut.table, cut.reason, f"{cut.rows:,}", str(cut.oldest), str(cut.newest)) for cut in cuts]
    return draw_table(("table", "what", "rows", "oldest", "newest"), rows, right={2})


def describe_loss(context: StageContext, plan: RetentionPlan) -> str:
    """Say which results can no longer be computed anew from staging, "" where all can."""
    first = plan.limits.first_session
    if first is None:
        return ""
    dates, oldest, newest = served.not_rebuildable(context.database, first)
    if not dates:
        return ""
    return (
        f"analytics of {dates} dates from {oldest} to {newest} cannot be computed anew from staging, which then serves"
        f" sessions from {first} on; keep a copy of the database: {LAUNCHER} db dump FILE"
    )


def staging_size(context: StageContext) -> int:
    """Return the bytes that the staging tables take."""
    return sum(context.staging.size(table) for table in _TABLES)


def describe_space(context: StageContext, before: int) -> str:
    """Say what the staging tables take now, `before` bytes having been taken before."""
    hours = context.settings.retention.vacuum_hours
    sizes = f"staging took {before / 2**20:,.1f} MB and takes {staging_size(context) / 2**20:,.1f} MB"
    if hours == 0:
        return sizes
    return f"{sizes}; files that went out of use stay for {hours:g} hours, then a later run deletes them"


def _old_served(context: StageContext, limits: Limits) -> list[OldRows]:
    old: list[OldRows] = []
    if limits.first_session is not None:
        old += served.old_prices(limits.first_session)
        old += served.old_holdings(funds_kept_from(context, limits))
    if limits.first_analytics is not None:
        old += served.old_analytics(limits.first_analytics)
    if limits.errors is not None:
        old += served.old_errors(limits.errors)
    if limits.runs is not None:
        old += served.old_runs(limits.runs)
    return old
