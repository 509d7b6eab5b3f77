"""Which failures of Postgres are retried, and for how long: the one retry policy of the pipeline.

What is retried is always a whole unit that may be done twice: a merge, a row of the run log, a claim of the throttle.
"""

from __future__ import annotations

import functools
import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import psycopg
import tenacity

from spark_app.errors import PassingFailureError, RunInterruptedError
from spark_app.storage.postgres.remedies import explain

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")
_Parameters = ParamSpec("_Parameters")

_PASSING_STATES = re.compile("08|57P0[1235]|53300|40001|40P01|55P03")
"""SQLSTATEs: connection lost, server stopping or starting, too many connections, conflicts, lock timeout."""

# A refused connection has no SQLSTATE, only text: with "FATAL" the server's own, else libpq's.
_PASSING_REFUSAL = re.compile("too many|connection slots|starting up|shutting down|accepting connections|recovery")
_LASTING_FAILURE = re.compile("certificate|SSL, but|password|not known|No address associated")


def is_passing(state: str | None, text: str) -> bool:
    """Say whether a failure with this SQLSTATE (None if it has none) and text may be over in a moment."""
    if state is not None:
        return _PASSING_STATES.match(state) is not None
    if "FATAL" in text:
        return _PASSING_REFUSAL.search(text) is not None
    return _LASTING_FAILURE.search(text) is None


class _StopAfter(tenacity.stop.stop_base):
    """Stop so many seconds after the first failure: tenacity's own counts from the first attempt's start.

    A load of years may run for longer than that before it fails for the first time.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._first_failure: float | None = None

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        failed_at = retry_state.outcome_timestamp or retry_state.start_time
        self._first_failure = self._first_failure or failed_at
        return failed_at - self._first_failure >= self._seconds


@dataclass(frozen=True)
class RetryPolicy:
    """How long to retry and to wait for Postgres; a request to stop ends the retries.

    `retry_seconds`: how long to retry what failed for a passing reason, from its first failure on. `answer_seconds`: a
    statement without an answer for so long counts as a lost connection. `stopping`: set when the run is to end early.
    """

    retry_seconds: float = 30.0
    answer_seconds: float = 300.0
    stopping: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)

    def __reduce__(self) -> tuple[type[RetryPolicy], tuple[float, float]]:
        """Pickle without the event: workers see a request to stop in Postgres."""
        return RetryPolicy, (self.retry_seconds, self.answer_seconds)

    def call(self, work: Callable[[], _Result]) -> _Result:
        """Do the work, and retry it while it fails for a passing reason.

        Raises: PassingFailureError: the last attempt failed, too. RunInterruptedError: it failed, and the run is to
        stop.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingFailureError),
            stop=_StopAfter(self.retry_seconds),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=2),
            before_sleep=self._log_first,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(work)

    def _log_first(self, state: tenacity.RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None and not self.stopping.is_set():
            logger.info("%s; retrying for up to %g s", state.outcome.exception(), self.retry_seconds)

    def _sleep(self, seconds: float) -> None:
        if self.stopping.wait(seconds):
            raise RunInterruptedError("interrupted while waiting for PostgreSQL: run it again to resume")


class _HasRetryPolicy(Protocol):
    @property
    def retry_policy(self) -> RetryPolicy: ...


_Place = TypeVar("_Place", bound=_HasRetryPolicy)


def retried(
    work: Callable[Concatenate[_Place, _Parameters], _Result],
) -> Callable[Concatenate[_Place, _Parameters], _Result]:
    """Retry a function by the retry policy of its first argument, mostly a database.

    The function must be safe to repeat, also if its first call took effect and only the answer was lost.
    """

    @functools.wraps(work)
    def with_retries(place: _Place, /, *args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        return place.retry_policy.call(lambda: work(place, *args, **kwargs))

    return with_retries


class BoundedConnection(psycopg.Connection):
    """A connection that is closed if a statement has no answer in time: a dead network gives no error.

    Its errors say what only the connection knows (`remedies.py`).
    """

    answer_seconds = 300.0

    def wait(self, gen, interval=0.1, timeout=None):  # type: ignore[no-untyped-def]
        """Wait for the server as psycopg does, at most `answer_seconds`."""
        try:
            return super().wait(gen, interval, timeout or self.answer_seconds)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer for {self.answer_seconds:g} s") from None
        except psycopg.Error as error:
            explain(self, error)
            raise
