"""What a campaign does: which kills it plans, what an undisturbed run makes, and what is left after kill and rerun."""

from __future__ import annotations

import datetime as dt
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spark_app import market_calendar
from tests.declared import STAGES
from tests.soak.contents import Contents, commits_of, different_rows
from tests.soak.installation import Installation
from tests.soak.phases import AFTER, BEFORE, FETCHING, IN_POSTGRES, MAKING, ONCE_A_STAGE, RANDOM, START, Moment, watched

BACKFILLS = {
    "backfill_etf_benchmarks": ("--days", "30", "--delay", "0"),
    "staggered_sector_backfill": ("--days", "25", "--tickers", "XLK,XLF,XLV", "--delay-minutes", "0"),
}
JOBS = (*STAGES, "daily_pipeline", *BACKFILLS)
_STAGING = ("fetches", "bars", "holdings", "quotes")
_LOGGED = "SELECT count(*), coalesce(sum(rows_inserted + rows_updated), 0) FROM logs_pipeline_run"
_LOOK_AROUND_SECONDS = 0.05
_AT_APPENDS_SECONDS = 0.003
"""Nothing holds a job at an append, so there one has to look often."""
_LONGEST_WAIT_SECONDS = 600


@dataclass(frozen=True, eq=False)
class Undisturbed:
    """A job for a date, the installation before it, and what it makes of that when nothing happens to it."""

    job: str
    as_of: dt.date
    command: tuple[str, ...]
    before: Installation
    contents: Contents
    seconds: float
    requests: int
    rows: int
    commits: int
    appends: tuple[tuple[str, int], ...]
    """Staging table and version of each append; version 0 makes the table."""

    @property
    def begins_empty(self) -> bool:
        return not self.before.staging.exists()


@dataclass(frozen=True)
class Case:
    """One kill, or two: the run that follows the first may be killed too, after so many seconds."""

    number: int
    run: Undisturbed
    moment: Moment
    again_after_seconds: float | None = None

    def __str__(self) -> str:
        again = "" if self.again_after_seconds is None else f", and the next run after {self.again_after_seconds:.1f} s"
        return f"{self.run.job} {self.run.as_of} {self.moment}{again}"


@dataclass(frozen=True)
class Kill:
    """Whether the job was still at work, whether it was at the moment that was meant, and which processes stayed."""

    was_at_work: bool
    was_hit: bool
    left_behind: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What came of a case: how many kills it was, and what differs then."""

    case: Case
    was_hit: bool
    kills: int
    seconds: float
    problems: tuple[str, ...]


def record(job: str, as_of: dt.date, before: Installation, home: Path) -> tuple[Undisturbed, Installation]:
    """Run a job undisturbed in a copy of `before`; returns what is to be known of it, and the copy.

    Raises: RuntimeError: it failed, so there is nothing to compare with.
    """
    command = (job, *BACKFILLS.get(job, ()), *_dated(job, as_of))
    after = before.copy(home)
    after.emulator.log.clear()
    exit_code, said, seconds = after.run(command)
    if exit_code:
        raise RuntimeError(f"{' '.join(command)} ended with {exit_code} although nothing happened to it:\n{said}")
    requests = sum(request.kind in ("chart", "workbook", "quote") for request in after.emulator.log)
    (commits_before, rows_before), (commits, rows) = _logged(before), _logged(after)
    contents, appends = after.contents(), tuple(_appends(before, after))
    counts = (requests, rows - rows_before, commits - commits_before)
    return Undisturbed(job, as_of, command, before, contents, seconds, *counts, appends), after


def _dated(job: str, as_of: dt.date) -> tuple[str, ...]:
    """The pipeline is not told the last session, as cron does not: then it goes on at the stage that failed."""
    is_last = as_of == market_calendar.last_completed_session(dt.datetime.now(dt.UTC))
    return () if job == "daily_pipeline" and is_last else ("--as-of", str(as_of))


def _logged(installation: Installation) -> tuple[int, int]:
    """Count the stages that have run, and the rows that they changed."""
    with installation.database() as database, database.connect() as connection:
        commits, rows = connection.execute(_LOGGED).fetchall()[0]
    return int(commits), int(rows)


def _appends(before: Installation, after: Installation) -> Iterator[tuple[str, int]]:
    for table in _STAGING:
        earlier, later = (len(commits_of(one.staging / table)) for one in (before, after))
        yield from ((table, version) for version in range(earlier, later))


def plan(runs: Sequence[Undisturbed], kills: int, seed: int) -> list[Case]:
    """Choose the kills: every phase in turn, each time of another job, until there are enough of them."""
    rng = random.Random(seed)
    cases: list[Case] = []
    left = kills
    for run, phase in _endless_pairs(rng, runs):
        if left <= 0:
            break
        moment = _moment(rng, run, phase)
        again = rng.uniform(1, run.seconds) if moment.phase == RANDOM and left > 1 else None
        cases.append(Case(len(cases) + 1, run, moment, again))
        left -= 1 if again is None else 2
    return cases


def _endless_pairs(rng: random.Random, runs: Sequence[Undisturbed]) -> Iterator[tuple[Undisturbed, str]]:
    """Give runs and their phases without end: each phase once before any comes again."""
    while True:
        pairs = [(run, phase) for run in runs for phase in phases_of(run)]
        rng.shuffle(pairs)
        rounds: Counter[str] = Counter()
        numbered = []
        for run, phase in pairs:
            rounds[phase] += 1
            numbered.append((rounds[phase], run, phase))
        yield from ((run, phase) for _, run, phase in sorted(numbered, key=lambda pair: pair[0]))


def phases_of(run: Undisturbed) -> list[str]:
    """List the phases that a job has; those of an append once for each staging table."""
    found = [START, RANDOM]
    if run.begins_empty:
        found.append(MAKING)
    if run.requests:
        found.append(FETCHING)
    for table in dict.fromkeys(table for table, _ in run.appends):
        found += [f"{BEFORE} {table}", f"{AFTER} {table}"]
    return found + list(IN_POSTGRES)


def _moment(rng: random.Random, run: Undisturbed, phase: str) -> Moment:
    for kind in (BEFORE, AFTER):
        if phase.startswith(kind):
            table = phase.removeprefix(f"{kind} ")
            first = 1 if kind == BEFORE else 0
            return Moment(kind, rng.choice([v for name, v in run.appends if name == table and v >= first]), table)
    if phase == RANDOM:
        return Moment(RANDOM, round(rng.uniform(0.5, run.seconds), 1))
    highest = {START: 1, MAKING: 1, FETCHING: run.requests} | dict.fromkeys(ONCE_A_STAGE, run.commits)
    return Moment(phase, rng.randint(1, highest.get(phase, run.rows)))


def carry_out(case: Case, home: Path) -> Finding:
    """Kill a job at the planned moment, run it again, and compare; the installation stays where something differs."""
    began = time.monotonic()
    installation = _installation(case, home)
    kills = [kill(installation, case.run.command, case.moment)]
    if case.again_after_seconds is not None:
        kills.append(kill(installation, case.run.command, Moment(RANDOM, case.again_after_seconds)))
    problems = [f"left behind: {process}" for one in kills for process in one.left_behind]
    problems += rerun(installation, case.run)
    if not problems:
        installation.remove()
    done = sum(one.was_at_work for one in kills)
    return Finding(case, kills[0].was_hit, done, time.monotonic() - began, tuple(problems))


def rerun(installation: Installation, run: Undisturbed) -> list[str]:
    """Run a job to its end after a kill; returns what differs from an undisturbed run."""
    try:
        exit_code, said, _ = installation.run(run.command)
    except AssertionError as still_at_work:
        return [str(still_at_work)]
    if exit_code:
        return [f"the rerun ended with {exit_code}: {said[-2000:]}"]
    return different_rows(installation.contents(), run.contents)


def _installation(case: Case, home: Path) -> Installation:
    """Make the installation of a case; the first job of all makes its database itself, where it may be killed at it."""
    if not case.run.begins_empty or case.moment.phase not in (START, RANDOM, MAKING):
        return case.run.before.copy(home)
    home.mkdir(mode=0o755)
    return Installation(home, case.run.before.emulator)


def kill(installation: Installation, command: Sequence[str], moment: Moment) -> Kill:
    """Start a job and kill its process group at a moment."""
    with watched(moment, installation) as is_reached, installation.started(command) as job:
        deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
        pause = _AT_APPENDS_SECONDS if moment.table else _LOOK_AROUND_SECONDS
        while not is_reached(job) and job.is_running and time.monotonic() < deadline:
            time.sleep(pause)
        if not job.is_running:
            return Kill(was_at_work=False, was_hit=False)
        job.signal_group(signal.SIGSTOP)
        was_hit = is_reached(job)
        job.signal_group(signal.SIGKILL)
        job.wait()
        return Kill(was_at_work=True, was_hit=was_hit, left_behind=tuple(job.left_behind(timeout_seconds=30)))
