"""The status in Prometheus' text format, for the textfile collector of its node exporter."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path

from spark_app import __version__
from spark_app.errors import UsageError
from spark_app.results.files import write_whole
from spark_app.results.status.status import Status

_Samples = Iterable[tuple[Mapping[str, str], float | None]]


def render_metrics(status: Status) -> str:
    """Return the metrics; what is unknown has no sample. Times are in seconds since 1970, sizes in bytes."""
    stages = [({"stage": stage.name}, stage) for stage in status.stages]
    runs = [(labels, stage.last_run) for labels, stage in stages if stage.last_run is not None]
    tables = [({"table": table.name}, table) for table in status.tables]
    info = {"version": __version__, "origin": status.origin or "none"}
    families: list[tuple[str, str, _Samples]] = [
        ("info", "Version of spark_app and kind of its data.", [(info, 1)]),
        (
            "last_completed_session_timestamp_seconds",
            "Midnight UTC of the last completed session.",
            [({}, _seconds(status.last_completed_session))],
        ),
        (
            "stage_last_success_timestamp_seconds",
            "When the stage last ended well.",
            [(labels, _seconds(stage.success_at)) for labels, stage in stages],
        ),
        (
            "stage_sessions_behind",
            "Sessions that the stage has not served yet.",
            [(labels, stage.sessions_behind) for labels, stage in stages],
        ),
        (
            "stage_last_run_duration_seconds",
            "Duration of the stage's last run.",
            [(labels, run.seconds) for labels, run in runs],
        ),
        ("stage_last_run_rows", "Rows that the stage's last run served.", [(labels, run.rows) for labels, run in runs]),
        (
            "stage_last_run_exit_code",
            "Exit code of the stage's last run.",
            [(labels, run.exit_code) for labels, run in runs],
        ),
        (
            "stage_is_failed",
            "1 where the stage is stale or its last run failed.",
            [(labels, float(stage.state == "error")) for labels, stage in stages],
        ),
        (
            "table_newest_timestamp_seconds",
            "Midnight UTC of the table's newest date.",
            [(labels, _seconds(table.last_session)) for labels, table in tables],
        ),
        (
            "table_sessions_behind",
            "Sessions that the table lacks.",
            [(labels, table.sessions_behind) for labels, table in tables],
        ),
        ("table_rows", "Rows of the table.", [(labels, table.rows) for labels, table in tables]),
        ("pending_messages", "Messages that Kafka has not acknowledged.", [({}, status.messages.messages)]),
        ("staging_bytes", "Size of the staging tables.", [({}, status.staging_bytes)]),
        ("database_bytes", "Size of the database.", [({}, status.database_bytes)]),
        ("pending_stages", "Stages that the next run would run.", [({}, len(status.next_run.stages))]),
    ]
    if status.source is not None:
        source = {"source": status.source.name}
        families += [
            (
                "source_blocked_until_timestamp_seconds",
                "Until when no request is sent, 0 where requests may be sent.",
                [(source, _seconds(status.source.blocked_until) or 0)],
            ),
            ("source_requests_today", "HTTP requests since midnight UTC.", [(source, status.source.requests_today)]),
            (
                "source_requests_left",
                "HTTP requests that may still be sent today.",
                [(source, status.source.requests_left)],
            ),
        ]
    return "".join(_family(*family) for family in families) + render_outcome(status.exit_code, status.checked_at)


def render_outcome(exit_code: int, checked_at: dt.datetime) -> str:
    """Return the two metrics that are there in any case, also where the database does not answer."""
    return _family(
        "status_exit_code",
        "Exit code of status: 0 fresh, 1 stale or failed, 75 blocked, others docs/ERRORS.md.",
        [({}, exit_code)],
    ) + _family("status_timestamp_seconds", "When this was written.", [({}, _seconds(checked_at))])


def write_metrics(file: Path, text: str) -> None:
    """Write the file at once: a collector sees the old one or the new one, whole.

    Raises: UsageError: it cannot be written.
    """
    try:
        # The collector reads *.prom only, and runs as another user.
        write_whole(file, text.encode(), mode=0o644)
    except (OSError, ValueError) as error:
        raise UsageError(f"--prometheus {file}: cannot write: {getattr(error, 'strerror', error)}") from error


def _family(name: str, about: str, samples: _Samples) -> str:
    """One metric with its help and samples; nothing where all are unknown."""
    known = [f"spark_app_{name}{_labels(labels)} {value:.15g}\n" for labels, value in samples if value is not None]
    head = f"# HELP spark_app_{name} {about}\n# TYPE spark_app_{name} gauge\n"
    return head + "".join(known) if known else ""


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}" if labels else ""


def _seconds(moment: dt.datetime | dt.date | None) -> float | None:
    if moment is None:
        return None
    if not isinstance(moment, dt.datetime):
        moment = dt.datetime.combine(moment, dt.time(), dt.UTC)
    return moment.timestamp()
