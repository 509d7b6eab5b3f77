"""How fresh each stage and each served table is, counted in sessions, in dbt's words: pass, warn, error."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg

from spark_app.config.settings import VerificationSettings
from spark_app.pipeline.stage import Stage
from spark_app.results.sessions import Sessions
from spark_app.results.status import facts
from spark_app.results.status.facts import LastRun, Size
from spark_app.stages import STAGE1, STAGE2, STAGE3, STAGE4, STAGE5, STAGES
from spark_app.storage.postgres.locks import try_stage_lock

STAGE_NAMES = tuple(stage.name for stage in STAGES)

State = Literal["pass", "warn", "error", "blocked"]
WORST_FIRST: tuple[State, ...] = ("error", "warn", "pass")


@dataclass(frozen=True)
class Served:
    """A served table, its date, and the stage that fills it; `may_lack_rows`: rightly none for some session."""

    name: str
    date: str
    stage: Stage
    may_lack_rows: bool = False


SERVED = (
    Served("collected_daily_etf_ohlc", "trade_date", STAGE1),
    Served("collected_daily_benchmark_ohlc", "trade_date", STAGE1),
    # The provider dates its snapshots.
    Served("collected_meta_etf", "as_of_date", STAGE2, may_lack_rows=True),
    Served("analytics_trending_sectors", "as_of_date", STAGE3),
    # Where no sector trends there is no stock, no position and no exclusion.
    Served("collected_daily_stock_history", "trade_date", STAGE4, may_lack_rows=True),
    Served("analytics_portfolio_allocation", "as_of_date", STAGE5, may_lack_rows=True),
    Served("analytics_portfolio_exclusion", "as_of_date", STAGE5, may_lack_rows=True),
)
"""The served tables that `status` looks at."""


@dataclass(frozen=True)
class StageStatus:
    """A stage: the last session it served, and its last run.

    Attributes:
        sessions_behind: sessions from the one it served to the last completed one; None where it served none.
        success_at: when it last ended well.
        is_running: whether a process is at work on the last run.
        problem: a sentence where the last run did not end well, else "".
    """

    name: str
    state: State
    last_session: dt.date | None
    sessions_behind: int | None
    success_at: dt.datetime | None
    last_run: LastRun | None
    is_running: bool
    problem: str


@dataclass(frozen=True)
class TableStatus:
    """A served table; `last_session` is its newest date, `sessions_behind` counts what its stage did not serve."""

    name: str
    state: State
    last_session: dt.date | None
    sessions_behind: int | None
    rows: int


def read_stages(
    connection: psycopg.Connection,
    sizes: Mapping[str, Size],
    sessions: Sessions,
    last: dt.date,
    limits: VerificationSettings,
) -> tuple[StageStatus, ...]:
    """Judge the stages; `sizes`: table -> what is in it, `last`: the last completed session."""
    runs, successes = facts.read_last_runs(connection, STAGE_NAMES), facts.read_successes(connection, STAGE_NAMES)
    found = []
    for name in STAGE_NAMES:
        run, success = runs.get(name), successes.get(name)
        # A replay of the topic fills the tables without a run of the stage.
        newest = [sizes[table.name].newest for table in SERVED if table.stage.name == name]
        of_tables = max((day for day in newest if day is not None), default=None)
        served = of_tables if success is None else success.session
        is_running = run is not None and run.status == "running" and not _is_free(connection, run)
        behind = None if served is None else sessions.behind(served, last)
        state, problem = _by_sessions(behind, limits), _problem(run, served, is_running=is_running)
        if problem:
            state = _worse(state, "warn" if run is not None and run.status == "rate_limited" else "error")
        success_at = None if success is None else success.finished_at
        found.append(StageStatus(name, state, served, behind, success_at, run, is_running, problem))
    return tuple(found)


def _is_free(connection: psycopg.Connection, run: LastRun) -> bool:
    return try_stage_lock(connection, run.stage, run.as_of_date)


def _problem(run: LastRun | None, served: dt.date | None, *, is_running: bool) -> str:
    """Say how the last run failed; "" also where it failed for an earlier session than the one that is served."""
    if run is None or run.status in facts.GOOD or is_running:
        return ""
    if served is not None and run.as_of_date < served:
        return ""
    if run.status == "running":
        return f"{run.stage} for {run.as_of_date} never finished: its process died"
    code = "" if run.exit_code is None else f" (exit code {run.exit_code})"
    return f"{run.stage} for {run.as_of_date} ended {run.status}{code}: {run.message or 'no message'}"


def judge_tables(
    sizes: Mapping[str, Size],
    stages: Sequence[StageStatus],
    sessions: Sessions,
    last: dt.date,
    limits: VerificationSettings,
) -> tuple[TableStatus, ...]:
    """Judge the served tables, where rows may rightly be missing also by the stage that fills them."""
    served = {stage.name: stage.last_session for stage in stages}
    found = []
    for table in SERVED:
        size, of_stage = sizes[table.name], served[table.stage.name]
        days = [size.newest, of_stage if table.may_lack_rows else None]
        covered = max((day for day in days if day is not None), default=None)
        behind = None if covered is None else sessions.behind(covered, last)
        found.append(TableStatus(table.name, _by_sessions(behind, limits), size.newest, behind, size.rows))
    return tuple(found)


def _by_sessions(behind: int | None, limits: VerificationSettings) -> State:
    if behind is None or behind >= limits.fail_after_sessions:
        return "error"
    return "warn" if behind >= limits.warn_after_sessions else "pass"


def _worse(one: State, other: State) -> State:
    return min(one, other, key=WORST_FIRST.index)
