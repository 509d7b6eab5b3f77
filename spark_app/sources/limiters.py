"""A limiter for one process; the one that all workers share lives in Postgres."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from spark_app.errors import RateLimitedError


class PauseLimiter:
    """Keeps `pause_seconds` between two requests of this process; stops at the first reported rate limit."""

    def __init__(
        self,
        pause_seconds: float = 0.0,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pause_seconds = pause_seconds
        self._sleep = sleep
        self._monotonic = monotonic
        self._next_slot = float("-inf")
        self._rate_limit: str | None = None

    def acquire(self) -> None:
        """Wait until the pause after the last request is over.

        Raises: RateLimitedError once a rate limit was reported.
        """
        if self._rate_limit is not None:
            raise RateLimitedError(self._rate_limit)
        wait_seconds = self._next_slot - self._monotonic()
        if wait_seconds > 0:
            self._sleep(wait_seconds)
        self._next_slot = self._monotonic() + self._pause_seconds

    def report_rate_limit(self, message: str) -> None:
        """Let no further request pass."""
        self._rate_limit = message


@functools.lru_cache(maxsize=1)
def pause_limiter_of(run_id: str, pause_seconds: float) -> PauseLimiter:  # noqa: ARG001 - a key of the cache
    """Return the one limiter of a run in this process, so that its pause holds from task to task."""
    return PauseLimiter(pause_seconds)
