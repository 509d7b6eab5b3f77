"""The throttle as one worker process uses it: wait for the pause to end, then claim the moment for a request.

All workers that wait try again at about the same time, and the first claim wins. A claim checks the time of the last
request as stored, so a worker that wakes late delays no other and shortens no pause.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import psycopg

from spark_app.errors import RunInterruptedError, SparkAppError
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.retry import RetryPolicy
from spark_app.storage.postgres.throttle import Turn, block_source, claim, start_pause

_LONGEST_SLEEP_SECONDS = 1.0
"""Even in a long pause a worker checks this often for a block or a request to stop."""

_SPREAD_SECONDS = 0.01
"""Waiting workers wake up spread over this time, else they take the CPU from the one that is about to send."""

_LONGEST_ANSWER_SECONDS = 10.0
"""A claim takes a millisecond: a connection that does not answer for so long is lost."""

_MARGIN, _SHORTEST_MARGIN_SECONDS = 0.025, 0.02
"""How much longer than the delay two claims are apart, as a fraction of it: some requests take longer to be sent."""


@dataclass(frozen=True)
class FetchLimits:
    """The limits of a source, over all workers and jobs.

    `delay_seconds` between two requests (0 = no pause), at most `daily_request_budget` requests a day (UTC), none for
    `rate_limit_pause_seconds` after a rate limit.
    """

    delay_seconds: float
    daily_request_budget: int
    rate_limit_pause_seconds: float

    @property
    def spacing(self) -> dt.timedelta:
        """The time between two claims."""
        margin = max(_MARGIN * self.delay_seconds, _SHORTEST_MARGIN_SECONDS) if self.delay_seconds else 0.0
        return dt.timedelta(seconds=self.delay_seconds + margin)


def limiter_of(database: Database, source: str, limits: FetchLimits, run_id: str) -> PostgresLimiter:
    """Return this process's one limiter of a source; its connection lasts from task to task and run to run."""
    parameters = tuple(sorted(database.parameters.items()))
    limiter = _limiter_of(parameters, database.password, database.retry_policy, source, limits)
    limiter.run_id = run_id
    return limiter


@functools.lru_cache(maxsize=1)
def _limiter_of(
    parameters: tuple[tuple[str, str], ...], password: str | None, policy: RetryPolicy, source: str, limits: FetchLimits
) -> PostgresLimiter:
    return PostgresLimiter(Database(dict(parameters), password, policy), source, limits)


class PostgresLimiter:
    """Keeps the limits of a source together with all other processes (`sources.contract.Limiter`).

    It opens its one connection at first use and reopens a lost one, retrying as the database's policy says; after
    that its methods raise ServiceUnavailableError.

    Attributes: `run_id`, the run that it works for now.
    """

    def __init__(self, database: Database, source: str, limits: FetchLimits) -> None:
        self.run_id = ""
        answer_seconds = min(database.retry_policy.answer_seconds, _LONGEST_ANSWER_SECONDS)
        policy = replace(database.retry_policy, answer_seconds=answer_seconds)
        self._database = replace(database, retry_policy=policy)
        self._source = source
        self._limits = limits
        self._connection: psycopg.Connection | None = None
        self._was_connected = False

    def acquire(self) -> None:
        """Wait until the pause after the last request of any process is over, and claim the moment.

        Raises: RateLimitedError: the source is blocked or the day's budget is spent.
            RunInterruptedError: the run was asked to stop. ServiceUnavailableError.
        """
        while True:
            # A claim whose answer was lost counts as used: its pause is kept.
            turn = self._database.retry_policy.call(self._claim)
            if turn.claimed_at is not None:
                return
            if turn.is_stopped:
                raise RunInterruptedError("the run is to stop")
            error = turn.error_if_blocked(self._limits.daily_request_budget)
            if error is not None:
                raise error
            pause = turn.last_sent_at + self._limits.spacing - turn.now
            spread = random.uniform(0, _SPREAD_SECONDS)  # noqa: S311
            time.sleep(min(max(pause.total_seconds(), 0) + spread, _LONGEST_SLEEP_SECONDS))

    def report_rate_limit(self, message: str, *, retry_after_seconds: float = 0.0) -> None:
        """Block the source for the longer of the limits' pause and the source's own.

        Every worker of every job sees the block before its next request.
        """
        pause_seconds = max(self._limits.rate_limit_pause_seconds, retry_after_seconds)
        block_source(self._database, self._source, pause_seconds=pause_seconds, reason=message)

    def close(self) -> None:
        """Close the connection; the next claim opens another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _claim(self) -> Turn:
        with self._connected() as connection:
            spacing, budget = self._limits.spacing, self._limits.daily_request_budget
            return claim(connection, self._source, spacing=spacing, budget=budget, run_id=self.run_id)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        """Yield the connection; close it after a failure, so that the next call opens another."""
        try:
            with translated_errors("asking the throttle"):
                self._connection = self._connection or self._open()
                yield self._connection
        except SparkAppError:
            self.close()
            raise

    def _open(self) -> psycopg.Connection:
        connection = self._database.connect()
        # Waiting for the server's disk would delay each request differently.
        connection.execute("SET synchronous_commit = off")
        if self._was_connected:
            # The server may have crashed and lost the last claims.
            start_pause(connection, self._source)
        self._was_connected = True
        return connection
