"""A worker process's share of the one throttle: it waits for the right moment and claims it.

All that wait wake at about the same time, and whoever is first sends: so a late waker costs no time, and because the
claim looks at the last request as it really was, it shortens no pause either.
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
from spark_app.storage.postgres.retry import Patience
from spark_app.storage.postgres.throttle import Turn, block_source, claim, postpone, start_pause

_LONGEST_SLEEP_SECONDS = 1.0
"""Even in a long pause a worker looks this often whether the source was blocked meanwhile."""

_LONGEST_ANSWER_SECONDS = 10.0

# To wait for the server's disk would delay each request by another time; a crash may cost the last claims.
_SESSION_SETTINGS = "SET synchronous_commit = off; SET statement_timeout = '5s'"


@dataclass(frozen=True)
class FetchLimits:
    """How politely a source is asked.

    `delay_seconds` lie between two requests, whoever sent the first (0 = no pause). Of all jobs together, no more
    than `daily_request_budget` requests leave on a day (UTC), and none for `rate_limit_pause_seconds` after a
    rate limit.
    """

    delay_seconds: float
    daily_request_budget: int
    rate_limit_pause_seconds: float

    @property
    def spacing_seconds(self) -> float:
        """The time between two claims: a little more, for some requests take longer to reach the wire than others."""
        return self.delay_seconds + min(0.025, 0.09 * self.delay_seconds)

    @property
    def tolerated_seconds(self) -> float:
        """By how much a request may be late after its claim, so that 98 % of the delay are left to the next one."""
        return self.spacing_seconds - 0.98 * self.delay_seconds

    @property
    def longest_correction_seconds(self) -> float:
        """By how much a late request may put off the next one: a source whose answers vary is not a late wire."""
        return 0.03 + 0.02 * self.delay_seconds


def limiter_of(database: Database, source: str, limits: FetchLimits, run_id: str) -> PostgresLimiter:
    """Return this process's one limiter of a source, so that its connection lasts from task to task and run to run."""
    parameters = tuple(sorted(database.parameters.items()))
    limiter = _limiter_of(parameters, database.password, database.patience, source, limits)
    limiter.run_id = run_id
    return limiter


@functools.lru_cache(maxsize=1)
def _limiter_of(
    parameters: tuple[tuple[str, str], ...], password: str | None, patience: Patience, source: str, limits: FetchLimits
) -> PostgresLimiter:
    return PostgresLimiter(Database(dict(parameters), password, patience), source, limits)


class PostgresLimiter:
    """Keeps the limits together with every other process that asks the same source (`sources.contract.Limiter`).

    It opens its one connection when it first needs it, and again, with the database's patience, when it is lost; after
    that its methods raise ServiceUnavailableError.

    Attributes: `run_id`, the run that it works for now.
    """

    def __init__(self, database: Database, source: str, limits: FetchLimits) -> None:
        # A connection that something between here and the server has dropped would hang for a quarter of an hour.
        self.run_id = ""
        answer_seconds = min(database.patience.answer_seconds, _LONGEST_ANSWER_SECONDS)
        self._database = replace(
            database,
            parameters={**database.parameters, "tcp_user_timeout": "10000"},
            patience=replace(database.patience, answer_seconds=answer_seconds),
        )
        self._source = source
        self._limits = limits
        self._connection: psycopg.Connection | None = None
        self._was_connected = False
        self._claimed_at: dt.datetime | None = None
        self._claim_began = 0.0
        self._quickest_seconds = 0.0

    def acquire(self) -> None:
        """Wait until the pause after the last request, of whoever sent it, is over, and claim the moment.

        Raises: RateLimitedError: the source is blocked or the day's budget is spent.
            RunInterruptedError: the run is to stop. ServiceUnavailableError.
        """
        while True:
            # A claim whose answer was lost counts as used: the pause after it begins anew.
            turn = self._database.patience.keep_trying(self._claim)
            if turn.claimed_at is not None:
                self._claimed_at = turn.claimed_at
                return
            if turn.is_stopped:
                raise RunInterruptedError("the run is to stop")
            refusal = turn.refusal(self._limits.daily_request_budget)
            if refusal is not None:
                raise refusal
            self._sleep(turn.last_sent_at + self._spacing - turn.now)

    def note_answer(self) -> None:
        """Let the pause after a request that was late on its way begin later.

        Nobody but the server knows when it arrived; but what its answer takes longer than the quickest one so far
        (the first: altogether) is the most by which it can have been late.
        """
        seconds = time.monotonic() - self._claim_began
        late_seconds = seconds - self._quickest_seconds - self._limits.tolerated_seconds
        self._quickest_seconds = min(self._quickest_seconds or seconds, seconds)
        late_seconds = min(late_seconds, self._limits.longest_correction_seconds)
        if self._limits.delay_seconds and self._claimed_at and late_seconds > 0:
            # An answer is worth more than its pause; that Postgres is gone shows at the next request.
            with contextlib.suppress(SparkAppError), self._connected() as connection:
                postpone(connection, self._source, self._claimed_at, dt.timedelta(seconds=late_seconds))

    def report_rate_limit(self, message: str) -> None:
        """Let nobody send for a while; every worker of every job sees it before its next request."""
        pause_seconds = self._limits.rate_limit_pause_seconds
        block_source(self._database, self._source, pause_seconds=pause_seconds, reason=message)

    @property
    def _spacing(self) -> dt.timedelta:
        return dt.timedelta(seconds=self._limits.spacing_seconds)

    def _claim(self) -> Turn:
        with self._connected() as connection:
            self._claim_began = time.monotonic()
            budget = self._limits.daily_request_budget
            return claim(connection, self._source, spacing=self._spacing, budget=budget, run_id=self.run_id)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        """Yield the connection; one that failed is given up, so that the next call opens another."""
        try:
            with translated_errors("asking the throttle"):
                self._connection = self._connection or self._open()
                yield self._connection
        except SparkAppError:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            raise

    def _open(self) -> psycopg.Connection:
        connection = self._database.connect()
        connection.execute(_SESSION_SETTINGS)
        if self._was_connected:
            # The server may have crashed and forgotten the last request.
            start_pause(connection, self._source)
        self._was_connected = True
        return connection

    def _sleep(self, pause: dt.timedelta) -> None:
        # All that wake at once would take the processor from the one that is about to send.
        apart = random.uniform(0, min(0.01, 0.05 * self._limits.delay_seconds))  # noqa: S311
        time.sleep(min(max(pause.total_seconds(), 0) + apart, _LONGEST_SLEEP_SECONDS))
