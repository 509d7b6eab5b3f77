"""Locks: what excludes what, what is taken again after a lost connection, and what is free afterwards."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from spark_app.errors import AlreadyRunningError
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.locks import (
    Lock,
    is_running,
    lone_stage_lock,
    stage_lock,
    staging_writer_lock,
    tables_exclusive_lock,
    tables_shared_lock,
)
from spark_app.storage.postgres.recovery import UnstagedRun, mark_recovered, unstaged_runs
from spark_app.storage.postgres.run_log import RunKey, start_run

DAY = dt.date(2023, 6, 30)
EXCLUSIVE: list[tuple[Callable[[Database], AbstractContextManager[Lock]], str]] = [
    (lambda database: stage_lock(database, run_key("another")), "stage1 for 2023-06-30 is already running"),
    (staging_writer_lock, "another run is already writing to staging, and staging on S3 takes one at a time"),
    (tables_exclusive_lock, "another job is already running"),
    (lambda database: lone_stage_lock(database, run_key()), "another job is already running"),
]
"""Locks that one process has at a time, and what another one is told."""

_END_ALL = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def run_key(run_id: str = "a-run", stage: str = "stage1", as_of: dt.date = DAY) -> RunKey:
    return RunKey(run_id, stage, as_of, {})


@pytest.mark.parametrize(("lock", "message"), EXCLUSIVE)
def test_a_second_process_is_refused_until_the_first_is_done(
    database: Database, lock: Callable[[Database], AbstractContextManager[Lock]], message: str
) -> None:
    with lock(database) as first:
        first.confirm()
        with pytest.raises(AlreadyRunningError, match=f"^{message}: wait for it to end$"), lock(database):
            pass
    with lock(database):
        pass


@pytest.mark.parametrize(("lock", "message"), EXCLUSIVE)
def test_a_lost_connection_takes_its_locks_again(
    database: Database, lock: Callable[[Database], AbstractContextManager[Lock]], message: str
) -> None:
    with lock(database) as first:
        with database.connect() as connection:
            connection.execute(_END_ALL)
        first.confirm()
        with pytest.raises(AlreadyRunningError, match=message), lock(database):
            pass


def test_other_stages_and_dates_run_at_the_same_time(database: Database) -> None:
    with contextlib.ExitStack() as runs:
        for key in (run_key(), run_key(stage="stage2"), run_key(as_of=dt.date(2023, 6, 29))):
            runs.enter_context(stage_lock(database, key))
        runs.enter_context(tables_shared_lock(database))


@pytest.mark.parametrize("shared", [tables_shared_lock, lambda database: stage_lock(database, run_key())])
@pytest.mark.parametrize(
    "alone", [tables_exclusive_lock, lambda database: lone_stage_lock(database, run_key(stage="replay"))]
)
def test_removal_or_a_replay_and_runs_exclude_each_other(
    database: Database,
    shared: Callable[[Database], AbstractContextManager[Lock]],
    alone: Callable[[Database], AbstractContextManager[Lock]],
) -> None:
    with shared(database), pytest.raises(AlreadyRunningError), alone(database):
        pass
    refusal = pytest.raises(AlreadyRunningError, match="^apply_retention, db restore or replay_topic is already ")
    with alone(database), refusal, shared(database):
        pass


@pytest.mark.parametrize("lock", [stage_lock, lone_stage_lock])
def test_a_stage_runs_as_long_as_its_lock_is_kept(
    database: Database, lock: Callable[[Database, RunKey], AbstractContextManager[Lock]]
) -> None:
    with lock(database, run_key()):
        assert is_running(database, "stage1", DAY)
        assert not is_running(database, "stage2", DAY)
    assert not is_running(database, "stage1", DAY)


def test_a_running_run_is_not_marked_as_recovered(database: Database) -> None:
    dead, running, own = (run_key(f"run-{stage}", stage) for stage in ("stage1", "stage2", "stage4"))
    for key in (dead, running, own):
        start_run(database, key)
    others = [UnstagedRun(key.run_id, key.stage, DAY) for key in (dead, running)]
    with stage_lock(database, own), stage_lock(database, running):
        mark_recovered(database, own, others, [])
        assert [run.run_id for run in unstaged_runs(database, own.run_id)] == [running.run_id]
    mark_recovered(database, own, others, [])
    assert unstaged_runs(database, own.run_id) == []
