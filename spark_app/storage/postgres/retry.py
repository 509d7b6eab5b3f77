"""Which failures of Postgres are worth another try, and for how long: the one policy of the pipeline.

What is tried again is always a whole unit that may be done twice: a merge, a line of the run log, a claim of the
throttle.
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

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")
_Parameters = ParamSpec("_Parameters")

_PASSING_STATES = re.compile("08|57P0[1235]|53300|40001|40P01|55P03")
"""SQLSTATEs: connection lost, server stopping or starting, too many connections, conflicts, a lock not had in time."""

# A connection that is refused has no SQLSTATE, only text: "FATAL" is what the server says, the rest libpq.
_PASSING_REFUSAL = re.compile("too many|connection slots|starting up|shutting down|accepting connections|recovery")
_LASTING_TROUBLE = re.compile("certificate|SSL, but|password|not known|No address associated")


def is_passing(state: str | None, text: str) -> bool:
    """Say whether a failure with this SQLSTATE, None where there is none, and text may be over in a moment."""
    if state is not None:
        return _PASSING_STATES.match(state) is not None
    if "FATAL" in text:
        return _PASSING_REFUSAL.search(text) is not None
    return _LASTING_TROUBLE.search(text) is None


@dataclass(frozen=True)
class Patience:
    """How long Postgres is waited for; no longer than until the run is to stop.

    `retry_seconds`: what failed for a passing reason is tried again for so long. `answer_seconds`: a statement without
    an answer for so long counts as a lost connection. `stopping` is set when the run is to end early.
    """

    retry_seconds: float = 30.0
    answer_seconds: float = 300.0
    stopping: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)

    def __reduce__(self) -> tuple[type[Patience], tuple[float, float]]:
        """Travel to the workers without the event: they hear of the wish to stop through Postgres."""
        return Patience, (self.retry_seconds, self.answer_seconds)

    def keep_trying(self, work: Callable[[], _Result]) -> _Result:
        """Do the work, and again while it fails for a passing reason.

        Raises: PassingFailureError: it did to the end. RunInterruptedError: it failed, and the run is to stop.
        """
        persistently = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingFailureError),
            stop=tenacity.stop_after_delay(self.retry_seconds),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=2),
            before_sleep=self._say_so,
            sleep=self._sleep,
            reraise=True,
        )
        return persistently(work)

    def _say_so(self, state: tenacity.RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None and not self.stopping.is_set():
            logger.info("%s; trying again for up to %g s", state.outcome.exception(), self.retry_seconds)

    def _sleep(self, seconds: float) -> None:
        if self.stopping.wait(seconds):
            raise RunInterruptedError("interrupted while PostgreSQL was not there; run it again to go on")


class _Patient(Protocol):
    @property
    def patience(self) -> Patience: ...


_Place = TypeVar("_Place", bound=_Patient)


def retried(
    work: Callable[Concatenate[_Place, _Parameters], _Result],
) -> Callable[Concatenate[_Place, _Parameters], _Result]:
    """Let a function whose first argument is a database be tried again with that database's patience.

    It must be one that may be done twice, also where the first time counted and only its answer was lost.
    """

    @functools.wraps(work)
    def patiently(place: _Place, /, *args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        return place.patience.keep_trying(lambda: work(place, *args, **kwargs))

    return patiently


class BoundedConnection(psycopg.Connection):
    """A connection that is given up when a statement is not answered in time: a dead network says nothing."""

    answer_seconds = 300.0

    def wait(self, gen, interval=0.1, timeout=None):  # type: ignore[no-untyped-def]
        """Wait for the server as psycopg does, but not for ever."""
        try:
            return super().wait(gen, interval, timeout or self.answer_seconds)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer for {self.answer_seconds:g} s") from None
