"""Whether all is well, in dbt's words: what is served and how far behind, what is blocked, what the next run does."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg

from spark_app.config.installation import LAUNCHER, source_option
from spark_app.config.settings import Settings
from spark_app.errors import RateLimitedError, SparkAppError
from spark_app.pipeline.request import Request
from spark_app.pipeline.stage import Stage
from spark_app.results.sessions import Sessions
from spark_app.results.status import facts
from spark_app.results.status.facts import Backlog
from spark_app.results.status.freshness import (
    SERVED,
    STAGE_NAMES,
    WORST_FIRST,
    StageStatus,
    State,
    TableStatus,
    judge_tables,
    read_stages,
)
from spark_app.stages import STAGE1, STAGE2, STAGES
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.migrate import migrate
from spark_app.storage.postgres.retry import retried
from spark_app.storage.postgres.run_log import RunKey, is_logged_done, read_origin
from spark_app.storage.postgres.throttle import ThrottleState, read_throttle
from spark_app.universe import FUNDS, PRICED_FUNDS

_FIRST_REQUESTS = {STAGE1.name: len(PRICED_FUNDS), STAGE2.name: len(FUNDS)}
"""Of a stage that never ran: a request per fund. How many stocks stage 4 asks for is known after stage 3 only."""


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
    """The whole answer; `origin` is `real`, `synthetic` or `files`, None where there is no data yet.

    `source` is None for the synthetic market and for files, which have no throttle; `staging_bytes` where staging is
    a URL.
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
        sizes = {table.name: facts.read_size(connection, table.name, table.date) for table in SERVED}
        limits = settings.verification
        stages = read_stages(connection, sizes, sessions, last, limits)
        pending = _pending(connection, settings, last, now)
        usual = facts.read_usual_requests(connection, STAGE_NAMES)
        backlog, database_bytes = facts.read_backlog(connection), facts.read_database_bytes(connection)
    tables = judge_tables(sizes, stages, sessions, last, limits)
    source = None
    if settings_in_force.data_origin == "real":
        source = _source_of(read_throttle(database, settings_in_force.source.name), settings_in_force)
    is_blocked = source is not None and source.blocked_until is not None
    states = [*(stage.state for stage in stages), *(table.state for table in tables)]
    worst = min(states, key=WORST_FIRST.index)
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
    return "" if origin == settings.data_origin else source_option(origin)


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
