"""The status as one screen of text, and as JSON."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict

from spark_app.results.status.facts import Backlog
from spark_app.results.status.freshness import StageStatus
from spark_app.results.status.status import NextRun, SourceStatus, Status
from spark_app.text_table import data_mark, draw_table, printable

_LONGEST_PROBLEM = 300


def render_status(status: Status) -> str:
    """Draw the status: the verdict, stages, tables, then a line each about the source, messages, disk, the next run."""
    parts = [
        data_mark(is_synthetic=status.origin == "synthetic"),
        f"{status.state}: {_describe_freshness(status)}",
        "\n".join([_draw_stages(status), *(_shortened(s.problem) for s in status.stages if s.problem)]),
        _draw_tables(status),
        "\n".join(f"{name:<10}{text}" for name, text in _lines(status)),
    ]
    return "\n\n".join(part for part in parts if part)


def as_json(status: Status) -> str:
    """Return the status as a JSON object: the fields of `Status`, times in UTC as ISO 8601."""
    return json.dumps(asdict(status), default=_plain, indent=2)


def _plain(value: object) -> str:
    if isinstance(value, dt.datetime):
        return f"{value.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    return str(value)


def _describe_freshness(status: Status) -> str:
    behind = [*(s.sessions_behind for s in status.stages), *(t.sessions_behind for t in status.tables)]
    last = f"the last completed session, {status.last_completed_session}"
    if None in behind:
        return f"not everything is served yet; the last completed session is {status.last_completed_session}"
    most = max(number for number in behind if number is not None)
    return f"{most} {'session' if most == 1 else 'sessions'} behind {last}" if most else f"up to date with {last}"


def _draw_stages(status: Status) -> str:
    rows = [(s.name, _day(s.last_session), _count(s.sessions_behind), _ended(s), s.state) for s in status.stages]
    return draw_table(("stage", "session", "behind", "last run", "state"), rows, right={2})


def _ended(stage: StageStatus) -> str:
    run = stage.last_run
    if run is None:
        return "never ran"
    if stage.is_running:
        return f"running since {_time(run.started_at)}"
    took = "" if run.seconds is None else f", {describe_seconds(run.seconds)}"
    date = "" if run.as_of_date == stage.last_session else f" for {run.as_of_date}"
    status = "died" if run.status == "running" else run.status
    return f"{status}{date} {_time(run.finished_at or run.started_at)}{took}"


def _draw_tables(status: Status) -> str:
    rows = [(t.name, _day(t.last_session), _count(t.sessions_behind), f"{t.rows:,}", t.state) for t in status.tables]
    return draw_table(("table", "newest", "behind", "rows", "state"), rows, right={2, 3})


def _lines(status: Status) -> list[tuple[str, str]]:
    staging = "at a URL, not measured" if status.staging_bytes is None else _bytes(status.staging_bytes)
    return [
        ("source", _describe_source(status.source) if status.source else f"{status.origin or 'offline'}, no requests"),
        ("messages", _describe_backlog(status.messages)),
        ("disk", f"staging {staging}, database {_bytes(status.database_bytes)}"),
        ("next run", _describe_work(status.next_run, status.source)),
        *(("", f"{stage}: requests not known before its first run") for stage in status.next_run.uncounted),
        ("command", _describe_command(status.next_run)),
    ]


def _describe_source(source: SourceStatus) -> str:
    block = "not blocked"
    if source.blocked_until is not None:
        block = f"blocked until {_time(source.blocked_until)} ({printable(source.blocked_reason or '')})"
    return f"{source.name}, {block}; {source.requests_today:,} requests today, {source.requests_left:,} left"


def _describe_backlog(backlog: Backlog) -> str:
    return "none pending" if backlog.since is None else f"{backlog.messages:,} pending since {_time(backlog.since)}"


def _describe_work(run: NextRun, source: SourceStatus | None) -> str:
    if not run.stages:
        return "nothing to do"
    named = run.stages[0] if len(run.stages) == 1 else f"{run.stages[0]} to {run.stages[-1]}"
    if source is None or not run.requests:
        return named if run.uncounted else f"{named}: no requests"
    duration = describe_seconds(run.seconds)
    return f"{named}: about {run.requests} requests, {source.delay_seconds:g} s apart: about {duration}"


def _describe_command(run: NextRun) -> str:
    return run.command if run.not_before is None else f"after {_time(run.not_before)}: {run.command}"


def describe_seconds(seconds: float) -> str:
    """Say a duration in the two largest units: 45 s, 2 min 5 s, 3 h 20 min."""
    whole = round(seconds)
    for unit, name, smaller, smaller_name in ((3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{whole} s"


def _shortened(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST_PROBLEM else f"{line[:_LONGEST_PROBLEM]}..."


def _day(day: dt.date | None) -> str:
    return "none" if day is None else str(day)


def _count(sessions: int | None) -> str:
    return "" if sessions is None else str(sessions)


def _time(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def _bytes(size: int) -> str:
    return f"{size / 2**30:,.1f} GB" if size >= 2**30 else f"{size / 2**20:,.1f} MB"
