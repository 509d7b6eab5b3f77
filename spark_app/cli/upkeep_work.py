"""Look after what is stored: the cache, verification, retention."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from spark_app.cli.job import Run, complain
from spark_app.cli.request import context_of

if TYPE_CHECKING:
    from spark_app.operations.retention import RetentionPlan
    from spark_app.pipeline.context import StageContext
    from spark_app.storage.postgres.database import Database

logger = logging.getLogger("spark_app")


def show_cache(run: Run) -> int:
    """Show what is cached, or forget what was named."""
    from spark_app.operations.cache import draw_cache, forget, list_cache
    from spark_app.storage.postgres.locks import tables_shared_lock

    arguments, context = run.job.arguments, context_of(run)
    cached = list_cache(context)
    if not arguments.forget and not arguments.forget_all:
        logger.info("%s", draw_cache(context, cached))
        return 0
    with tables_shared_lock(run.database):
        forgotten = forget(context, cached, arguments.forget.split(",") if arguments.forget else None)
    logger.info("forgotten: %s", ", ".join(forgotten) or "nothing was cached")
    return 0


def verify_data(run: Run) -> int:
    """Show the checks; returns 1 where one failed."""
    from spark_app.operations.verify_data import draw_findings, verify
    from spark_app.storage.postgres.locks import tables_shared_lock

    with tables_shared_lock(run.database):
        findings = verify(context_of(run))
    run.job.findings["checks"] = [asdict(finding) for finding in findings]
    logger.info("%s", draw_findings(findings))
    failed = [finding.check for finding in findings if finding.passed is False]
    if failed:
        complain(run.job.name, f"{len(failed)} checks failed: {'; '.join(failed)}")
    return 1 if failed else 0


def remove_old(run: Run) -> int:
    """Show what goes by the retention settings, and remove it unless this is a dry run."""
    from spark_app.config.settings import load_database_settings
    from spark_app.operations.retention import draw_cuts, plan_retention
    from spark_app.storage.postgres.database import administrator_of
    from spark_app.storage.postgres.locks import tables_exclusive_lock

    context, admin = context_of(run), administrator_of(load_database_settings(), run.database)
    with contextlib.nullcontext() if run.job.arguments.dry_run else tables_exclusive_lock(run.database) as lock:
        if lock is not None:
            context = replace(context, confirm_lock=lock.confirm)
        plan = plan_retention(context, admin)
        run.job.findings["retention"] = [asdict(cut) for cut in plan.cuts]
        logger.info("%s", draw_cuts(plan.cuts))
        _finish_retention(run, context, admin, plan)
    return 0


def _finish_retention(run: Run, context: StageContext, admin: Database, plan: RetentionPlan) -> None:
    from spark_app.operations.retention import apply_retention, describe_loss, describe_space, staging_size

    before = staging_size(context)
    if run.job.arguments.dry_run:
        logger.info("nothing was removed: this is a dry run")
    else:
        apply_retention(context, admin, plan)
        logger.info("%s: done; %s", run.job.name, describe_space(context, before))
    if loss := describe_loss(context, plan):
        logger.info("%s", loss)
