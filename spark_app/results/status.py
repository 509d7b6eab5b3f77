"""Whether all is well, in dbt's words: what is served and how far behind, what is blocked, what the next run does."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg

from spark_app.config.installation import LAUNCHER
from spark_app.config.settings import Settings, VerificationSettings
from spark_app.errors import RateLimitedError, SparkAppError
from spark_app.pipeline.request import Request
from spark_app.pipeline.stage import Stage
from spark_app.results import status_facts as facts
from spark_app.results.sessions import Sessions
from spark_app.results.status_facts import Backlog, LastRun, Size
from spark_app.stages import STAGE1, STAGE2, STAGE3, STAGE4, STAGE5, STAGES
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.locks import try_stage_lock
from spark_app.storage.postgres.migrate import migrate
from spark_app.storage.postgres.retry import retried
from spark_app.storage.postgres.run_log import RunKey, is_logged_done, read_origin
from spark_app.storage.postgres.throttle import ThrottleState, read_throttle
from spark_app.universe import FUNDS, PRICED_FUNDS

State = Literal["pass", "warn", "error", "blocked"]
_WORST_FIRST: tuple[State, ...] = ("error", "warn", "pass")

_NAMES = tuple(stage.name for stage in STAGES)
_FIRST_REQUESTS = {STAGE1.name: len(PRICED_FUNDS), STAGE2.name: len(FUNDS)}
"""Of a stage that never ran: a request per fund. How many stocks stage 4 asks for is known after stage 3 only."""


@dataclass(frozen=True)
class _Served:
    """A served table, its date, and the stage that fills it; `may_lack_rows`: rightly none for some session."""

    name: str
    date: str
    stage: Stage
    may_lack_rows: bool = False


_TABLES = (
    _Served("collected_daily_etf_ohlc", "trade_date", STAGE1),
    _Served("collected_daily_benchmark_ohlc", "trade_date", STAGE1),
    # The provider dates its snapshots.
    _Served("collected_meta_etf", "as_of_date", STAGE2, may_lack_rows=True),
    _Served("analytics_trending_sectors", "as_of_date", STAGE3),
    # Where no sector trends there is no stock, no position and no exclusion.
    _Served("collected_daily_stock_history", "trade_date", STAGE4, may_lack_rows=True),
    _Served("analytics_portfolio_allocation", "as_of_date", STAGE5, may_lack_rows=True),
    _Served("analytics_portfolio_exclusion", "as_of_date", STAGE5, may_lack_rows=True),
)


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


@dataclass(frozen=True)
class SourceStatus:
    """The source's throttle; times in UTC, `requests_today` since midnight UTC."""

    name: str
    blocked_until: dt.datetime | None
    blocked_reason: str | None
    requests_today: int
    requests_left: int
    delay_seconds: float


@dataclass(frozen=True)
class NextRun:
    """What `daily_pipeline` would do now.

    Attributes:
        stages: those that are pending.
        requests: about how many HTTP requests; of stages that ran before, or whose requests are known.
        seconds: how long these requests take at the delay in force.
        uncounted: stages whose requests are not known before their first run.
        command: what to type next.
        not_before: when to type it (UTC), None for now.
    """

    stages: tuple[str, ...]
    requests: int
    seconds: float
    uncounted: tuple[str, ...]
    command: str
    not_before: dt.datetime | None


@dataclass(frozen=True)
class Status:
    """The whole answer; `origin` is `real` or `synthetic`, None where there is no data yet.

    `source` is None for the synthetic market, which has no throttle; `staging_bytes` where staging is a URL.
    """

    checked_at: dt.datetime
    state: State
    exit_code: int
    origin: str | None
    last_completed_session: dt.date
    stages: tuple[StageStatus, ...]
    tables: tuple[TableStatus, ...]
    source: SourceStatus | None
    messages: Backlog
    staging_bytes: int | None
    database_bytes: int
    next_run: NextRun


@retried
def read_status(database: Database, settings: Settings, sessions: Sessions, now: dt.datetime) -> Status:
    """Read how everything stands at `now` (aware).

    Raises: ServiceUnavailableError: Postgres does not answer.
    """
    migrate(database)
    last = sessions.last_completed(now)
    origin = read_origin(database)
    settings_in_force = settings.of_origin(origin or settings.data_origin)
    with translated_errors("reading the status"), database.connect() as connection:
        sizes = {table.name: facts.read_size(connection, table.name, table.date) for table in _TABLES}
        limits = settings.verification
        stages = _read_stages(connection, sizes, sessions, last, limits)
        pending = _pending(connection, settings, last, now)
        usual = facts.read_usual_requests(connection, _NAMES)
        backlog, database_bytes = facts.read_backlog(connection), facts.read_database_bytes(connection)
    tables = _judge_tables(sizes, stages, sessions, last, limits)
    source = None
    if settings_in_force.data_origin == "real":
        source = _source_of(read_throttle(database, settings_in_force.source.name), settings_in_force)
    is_blocked = source is not None and source.blocked_until is not None
    states = [*(stage.state for stage in stages), *(table.state for table in tables)]
    worst = min(states, key=_WORST_FIRST.index)
    return Status(
        checked_at=now,
        state="blocked" if is_blocked else worst,
        exit_code=RateLimitedError.exit_code if is_blocked else SparkAppError.exit_code if worst == "error" else 0,
        origin=origin,
        last_completed_session=last,
        stages=stages,
        tables=tables,
        source=source,
        messages=backlog,
        staging_bytes=_folder_bytes(settings.staging_path),
        database_bytes=database_bytes,
        next_run=_next_run(pending, usual, source, stages, _words_of_source(settings, origin)),
    )


def _read_stages(
    connection: psycopg.Connection,
    sizes: Mapping[str, Size],
    sessions: Sessions,
    last: dt.date,
    limits: VerificationSettings,
) -> tuple[StageStatus, ...]:
    runs, successes = facts.read_last_runs(connection, _NAMES), facts.read_successes(connection, _NAMES)
    found = []
    for name in _NAMES:
        run, success = runs.get(name), successes.get(name)
        # A replay of the topic fills the tables without a run of the stage.
        newest = [size.newest for table in _TABLES if table.stage.name == name and (size := sizes[table.name]).newest]
        served = success.session if success is not None else max((day for day in newest if day), default=None)
        is_running = run is not None and run.status == "running" and not _is_free(connection, run)
        behind = None if served is None else sessions.behind(served, last)
        state, problem = _freshness(behind, limits), _problem(run, served, is_running=is_running)
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


def _judge_tables(
    sizes: Mapping[str, Size],
    stages: Sequence[StageStatus],
    sessions: Sessions,
    last: dt.date,
    limits: VerificationSettings,
) -> tuple[TableStatus, ...]:
    served = {stage.name: stage.last_session for stage in stages}
    found = []
    for table in _TABLES:
        size, of_stage = sizes[table.name], served[table.stage.name]
        days = [size.newest, of_stage if table.may_lack_rows else None]
        covered = max((day for day in days if day is not None), default=None)
        behind = None if covered is None else sessions.behind(covered, last)
        found.append(TableStatus(table.name, _freshness(behind, limits), size.newest, behind, size.rows))
    return tuple(found)


def _freshness(behind: int | None, limits: VerificationSettings) -> State:
    if behind is None or behind >= limits.fail_after_sessions:
        return "error"
    return "warn" if behind >= limits.warn_after_sessions else "pass"


def _worse(one: State, other: State) -> State:
    return min(one, other, key=_WORST_FIRST.index)


def _source_of(throttle: ThrottleState, settings: Settings) -> SourceStatus:
    budget = settings.fetch.daily_request_budget
    until, reason = throttle.current_block(budget) or (None, None)
    return SourceStatus(
        settings.source.name,
        until,
        reason,
        throttle.requests_today,
        max(0, budget - throttle.requests_today),
        settings.fetch.delay_seconds,
    )


def _pending(connection: psycopg.Connection, settings: Settings, last: dt.date, now: dt.datetime) -> list[Stage]:
    """The stages from the first one that `daily_pipeline` would run."""
    request = Request(run_id="", as_of=last, now=now)
    for place, stage in enumerate(STAGES):
        key = RunKey("", stage.name, last, stage.parameters_of(request, settings))
        if not is_logged_done(connection, key, depends_on=stage.depends_on, reruns_after=stage.reruns_after):
            return list(STAGES[place:])
    return []


def _next_run(
    pending: Sequence[Stage],
    usual: Mapping[str, int],
    source: SourceStatus | None,
    stages: Sequence[StageStatus],
    words_of_source: str,
) -> NextRun:
    asking = [stage.name for stage in pending if stage.fetches] if source is not None else []
    counted = {name: usual.get(name) or _FIRST_REQUESTS.get(name) for name in asking}
    requests = sum(number for number in counted.values() if number)
    command = f"{LAUNCHER} daily_pipeline{words_of_source}" if pending else f"{LAUNCHER} show"
    if any(stage.is_running for stage in stages):
        command = f"{LAUNCHER} status"
    return NextRun(
        stages=tuple(stage.name for stage in pending),
        requests=requests,
        seconds=requests * source.delay_seconds if source is not None else 0.0,
        uncounted=tuple(name for name, number in counted.items() if not number),
        command=command,
        not_before=source.blocked_until if source is not None and pending else None,
    )


def _words_of_source(settings: Settings, origin: str | None) -> str:
    return " --source synthetic" if origin == "synthetic" and settings.data_origin != "synthetic" else ""


def _folder_bytes(place: str) -> int | None:
    """The size of the files in a folder, 0 where there is none; None for a URL, which only Spark can read."""
    if "://" in place:
        return None
    total, folders = 0, [place]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:  # A run or retention removes files meanwhile.
            continue
    return total
