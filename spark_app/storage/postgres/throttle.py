"""The one throttle of all workers and jobs: a row in Postgres that says when the next HTTP request may leave.

Times are the server's own. A statement that claims a moment checks everything and stamps it at once, so of several
that come together one gets it. Who waits holds no transaction: see `limiter.py`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import LiteralString, TypeVar

import psycopg
from psycopg.rows import class_row

from spark_app.errors import RateLimitedError, SparkAppError
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.retry import retried

_State = TypeVar("_State", bound="ThrottleState")

_LONGEST_REASON = 500

_READ = """
SELECT clock_timestamp() AS now, last_sent_at, blocked_until, blocked_reason, counted_date, requests
FROM logs_fetch_throttle WHERE source = %(source)s
"""
# A last request that lies further ahead than a pause is of a clock that was set back, and must not stop everything.
_CLAIM = """
WITH claimed AS (
    UPDATE logs_fetch_throttle
    SET last_sent_at = clock_timestamp(),
        requests = CASE WHEN counted_date = today THEN requests + 1 ELSE 1 END,
        counted_date = today
    FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS today) AS calendar
    WHERE source = %(source)s
      AND blocked_until <= clock_timestamp()
      AND (counted_date <> today OR requests < %(budget)s)
      AND clock_timestamp() NOT BETWEEN last_sent_at - %(spacing)s AND last_sent_at + %(spacing)s
      AND NOT EXISTS (SELECT FROM logs_fetch_stop WHERE run_id = %(run_id)s)
    RETURNING last_sent_at
)
SELECT (SELECT last_sent_at FROM claimed) AS claimed_at,
       EXISTS (SELECT FROM logs_fetch_stop WHERE run_id = %(run_id)s) AS is_stopped,
       clock_timestamp() AS now, last_sent_at, blocked_until, blocked_reason, counted_date, requests
FROM logs_fetch_throttle WHERE source = %(source)s
"""
_POSTPONE = """
UPDATE logs_fetch_throttle SET last_sent_at = last_sent_at + %(late)s
WHERE source = %(source)s AND last_sent_at = %(claimed_at)s
"""
_START_PAUSE = "UPDATE logs_fetch_throttle SET last_sent_at = clock_timestamp() WHERE source = %(source)s"
_BLOCK = """
UPDATE logs_fetch_throttle SET blocked_until = clock_timestamp() + %(pause)s, blocked_reason = %(reason)s
WHERE source = %(source)s AND blocked_until < clock_timestamp() + %(pause)s
"""
_CLEAR = "UPDATE logs_fetch_throttle SET blocked_until = 'epoch', blocked_reason = NULL WHERE source = %(source)s"


@dataclass(frozen=True)
class ThrottleState:
    """The throttle of one source as it was at `now`, by the server's clock."""

    now: dt.datetime
    last_sent_at: dt.datetime
    blocked_until: dt.datetime
    blocked_reason: str | None
    counted_date: dt.date
    requests: int

    @property
    def is_blocked(self) -> bool:
        return self.blocked_until > self.now

    @property
    def requests_today(self) -> int:
        """HTTP requests since midnight UTC."""
        return self.requests if self.counted_date == self._today else 0

    @property
    def next_day_at(self) -> dt.datetime:
        """The coming midnight UTC."""
        return dt.datetime.combine(self._today + dt.timedelta(days=1), dt.time(), dt.UTC)

    @property
    def _today(self) -> dt.date:
        return self.now.astimezone(dt.UTC).date()

    def refusal(self, daily_request_budget: int) -> RateLimitedError | None:
        """Say why no request may leave now and when one may again; None if one may."""
        if (held := self.held(daily_request_budget)) is None:
            return None
        resume_at, reason = held
        return RateLimitedError(f"{reason}; resume after {resume_at:%Y-%m-%dT%H:%M:%SZ}", resume_at=resume_at)

    def held(self, daily_request_budget: int) -> tuple[dt.datetime, str] | None:
        """Return until when no request may leave (UTC), and why; None if one may."""
        reasons = []
        if self.is_blocked:
            reasons.append((self.blocked_until.astimezone(dt.UTC), self.blocked_reason or "the source is blocked"))
        if self.requests_today >= daily_request_budget:
            reasons.append((self.next_day_at, f"the budget of {daily_request_budget:,} requests a day is spent"))
        return max(reasons, default=None)


@dataclass(frozen=True)
class Turn(ThrottleState):
    """What an attempt to claim a moment found; `claimed_at` is None where it was not to be had.

    `is_stopped`: the run that wanted it is to stop.
    """

    claimed_at: dt.datetime | None
    is_stopped: bool


@retried
def read_throttle(database: Database, source: str) -> ThrottleState:
    """Read whether a source is blocked, until when and why, and how many requests left today."""
    with translated_errors("reading the throttle"), database.connect() as connection:
        return _fetch(connection, ThrottleState, _READ, {"source": source})


@retried
def block_source(database: Database, source: str, *, pause_seconds: float, reason: str) -> None:
    """Let no request leave for `pause_seconds` from now; a block that lasts longer stays as it is."""
    pause = dt.timedelta(seconds=pause_seconds)
    with translated_errors("blocking the source"), database.connect() as connection:
        connection.execute(_BLOCK, {"source": source, "pause": pause, "reason": _storable(reason)})


@retried
def clear_block(database: Database, source: str) -> None:
    """Let requests leave again before the block is over; the pause between them and the budget stay."""
    with translated_errors("clearing the block"), database.connect() as connection:
        connection.execute(_CLEAR, {"source": source})


@retried
def request_stop(database: Database, run_id: str) -> None:
    """Let the workers of a run send nothing more."""
    with translated_errors("stopping the workers"), database.connect() as connection:
        connection.execute("INSERT INTO logs_fetch_stop (run_id) VALUES (%s) ON CONFLICT DO NOTHING", (run_id,))


@retried
def forget_stop(database: Database, run_id: str) -> None:
    """Remove the request to stop, when the workers have."""
    with translated_errors("stopping the workers"), database.connect() as connection:
        connection.execute("DELETE FROM logs_fetch_stop WHERE run_id = %s", (run_id,))


def claim(connection: psycopg.Connection, source: str, *, spacing: dt.timedelta, budget: int, run_id: str) -> Turn:
    """Claim this moment for one request, and count it, if nothing is against it.

    Against it are a block, the day's budget, the last request, and a run that is to stop.
    """
    parameters = {"source": source, "spacing": spacing, "budget": budget, "run_id": run_id}
    return _fetch(connection, Turn, _CLAIM, parameters)


def postpone(connection: psycopg.Connection, source: str, claimed_at: dt.datetime, late: dt.timedelta) -> None:
    """Let the pause after a request begin later than claimed, unless another one has left since."""
    connection.execute(_POSTPONE, {"source": source, "claimed_at": claimed_at, "late": late})


def start_pause(connection: psycopg.Connection, source: str) -> None:
    """Let a pause begin now, as if a request had left."""
    connection.execute(_START_PAUSE, {"source": source})


def _fetch(
    connection: psycopg.Connection, kind: type[_State], query: LiteralString, parameters: Mapping[str, object]
) -> _State:
    row = connection.cursor(row_factory=class_row(kind)).execute(query, parameters).fetchone()
    if row is None:
        raise SparkAppError(f"logs_fetch_throttle has no row for the source {parameters['source']}")
    return row


def _storable(text: str) -> str:
    readable = text.encode("utf-8", "replace").decode()
    return readable.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:_LONGEST_REASON]
