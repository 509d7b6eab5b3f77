"""The jobs by name: each is its arguments and its work.

Arguments are read before anything heavy is imported, so that `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from spark_app.cli.job import run_guarded
from spark_app.cli.opening import open_run
from spark_app.cli.parser import (
    build_backfill_parser,
    build_cache_parser,
    build_fill_parser,
    build_parser,
    build_replay_parser,
    build_republish_parser,
    build_retention_parser,
    build_staggered_parser,
    build_verify_parser,
)
from spark_app.cli.replay_work import replay_topic
from spark_app.cli.stage_work import run_pending, run_stages
from spark_app.cli.staggered_work import run_staggered
from spark_app.cli.upkeep_work import remove_old, show_cache, verify_data


def run_job(name: str, description: str | None, stages: Sequence[str], argv: Sequence[str] | None = None) -> int:
    """Run stages in one Spark application; returns the exit code (see spark_app/errors.py)."""
    parser = build_parser(name, description or "", stages)
    return run_guarded(name, parser, argv, lambda job: open_run(job, lambda run: run_pending(run, stages)))


def run_backfill(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Bring the funds' prices of many sessions up to date; returns the exit code."""
    parser = build_backfill_parser(name, description or "")
    return run_guarded(name, parser, argv, lambda job: open_run(job, lambda run: run_stages(run, [name])))


def run_staggered_backfill(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Bring the sector funds' prices up to date, one at a time and minutes apart; returns the exit code."""
    return run_guarded(name, build_staggered_parser(name, description or ""), argv, run_staggered)


def run_cache(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Show what is cached, or let some of it be forgotten; returns the exit code."""
    return run_guarded(name, build_cache_parser(name, description or ""), argv, lambda job: open_run(job, show_cache))


def run_republish(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Rebuild served tables from staging; returns the exit code."""
    parser = build_republish_parser(name, description or "")
    return run_guarded(name, parser, argv, lambda job: open_run(job, lambda run: run_stages(run, [name])))


def run_replay(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Upsert what the topic says into the database; returns the exit code."""
    parser = build_replay_parser(name, description or "")
    return run_guarded(name, parser, argv, lambda job: open_run(job, replay_topic))


def run_fill(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Send every served row to the topic; returns the exit code."""
    parser = build_fill_parser(name, description or "")
    return run_guarded(name, parser, argv, lambda job: open_run(job, lambda run: run_stages(run, [name])))


def run_verify_data(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Make the checks that a user would make; returns the exit code, 1 where one failed."""
    return run_guarded(name, build_verify_parser(name, description or ""), argv, lambda job: open_run(job, verify_data))


def run_retention(name: str, description: str | None, argv: Sequence[str] | None = None) -> int:
    """Remove what is older than the settings want it kept; returns the exit code."""
    parser = build_retention_parser(name, description or "")
    return run_guarded(name, parser, argv, lambda job: open_run(job, remove_old))
