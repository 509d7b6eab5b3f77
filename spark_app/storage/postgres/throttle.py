"""The throttle that all workers and jobs share: one row per source that says when the next HTTP request may be sent.

Times are those of the Postgres server. One UPDATE checks the block, the budget, the pause and the stop request and
claims the moment, so of several workers that try at once one succeeds. Waiting happens in `limiter.py`, outside any
transaction.
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
# A last request further in the future than one pause means that the clock was set back; it must not stop everything.
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
_START_PAUSE = "UPDATE logs_fetch_throttle SET last_sent_at = clock_timestamp() WHERE source = %(source)s"
_BLOCK = """
UPDATE logs_fetch_throttle SET blocked_until = clock_timestamp() + %(pause)s, blocked_reason = %(reason)s
WHERE source = %(source)s AND blocked_until < clock_timestamp() + %(pause)s
"""
_CLEAR = "UPDATE logs_fetch_throttle SET blocked_until = 'epoch', blocked_reason = NULL WHERE source = %(source)s"


@dataclass(frozen=True)
class ThrottleState:
    """The throttle of one source at `now`, by the server's clock."""

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
        """The next midnight UTC."""
        return dt.datetime.combine(self._today + dt.timedelta(days=1), dt.time(), dt.UTC)

    @property
    def _today(self) -> dt.date:
        return self.now.astimezone(dt.UTC).date()

    def error_if_blocked(self, daily_request_budget: int) -> RateLimitedError | None:
        """Return the error for a request that may not be sent now, None if it may."""
        if (block := self.current_block(daily_request_budget)) is None:
            return None
        resume_at, reason = block
        return RateLimitedError(f"{reason}; resume after {resume_at:%Y-%m-%dT%H:%M:%SZ}", resume_at=resume_at)

    def current_block(self, daily_request_budget: int) -> tuple[dt.datetime, str] | None:
        """Return until when no request may be sent (UTC), and why; None if one may."""
        blocks = []
        if self.is_blocked:
            blocks.append((self.blocked_until.astimezone(dt.UTC), self.blocked_reason or "the source is blocked"))
        if self.requests_today >= daily_request_budget:
            blocks.append((self.next_day_at, f"the budget of {daily_request_budget:,} requests a day is spent"))
        return max(blocks, default=None)


@dataclass(frozen=True)
class Turn(ThrottleState):
    """The result of a claim: `claimed_at` is None if it failed, `is_stopped` if the run was asked to stop."""

    claimed_at: dt.datetime | None
    is_stopped: bool


@retried
def read_throttle(database: Database, source: str) -> ThrottleState:
    """Read whether a source is blocked, until when and why, and how many requests were sent today."""
    with translated_errors("reading the throttle"), database.connect() as connection:
        return _fetch(connection, ThrottleState, _READ, {"source": source})


@retried
def block_source(database: Database, source: str, *, pause_seconds: float, reason: str) -> None:
    """Block all requests for `pause_seconds` from now; a block that lasts longer stays as it is."""
    pause = dt.timedelta(seconds=pause_seconds)
    with translated_errors("blocking the source"), database.connect() as connection:
        connection.execute(_BLOCK, {"source": source, "pause": pause, "reason": _storable(reason)})


@retried
def clear_block(database: Database, source: str) -> None:
    """End the block early; the pause between requests and the budget stay."""
    with translated_errors("clearing the block"), database.connect() as connection:
        connection.execute(_CLEAR, {"source": source})


@retried
def request_stop(database: Database, run_id: str) -> None:
    """Ask the workers of a run to send no more requests."""
    with translated_errors("stopping the workers"), database.connect() as connection:
        connection.execute("INSERT INTO logs_fetch_stop (run_id) VALUES (%s) ON CONFLICT DO NOTHING", (run_id,))


@retried
def forget_stop(database: Database, run_id: str) -> None:
    """Remove the request to stop, once the workers have stopped."""
    with translated_errors("stopping the workers"), database.connect() as connection:
        connection.execute("DELETE FROM logs_fetch_stop WHERE run_id = %s", (run_id,))


def claim(connection: psycopg.Connection, source: str, *, spacing: dt.timedelta, budget: int, run_id: str) -> Turn:
    """Claim this moment for one request, and count it.

    Fails if the source is blocked, the day's budget is spent, the last request is less than `spacing` ago, or the run
    was asked to stop.
    """
    parameters = {"source": source, "spacing": spacing, "budget": budget, "run_id": run_id}
    return _fetch(connection, Turn, _CLAIM, parameters)


def start_pause(connection: psycopg.Connection, source: str) -> None:
    """Start a pause now, as if a request had been sent."""
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
