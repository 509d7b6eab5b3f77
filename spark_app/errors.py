"""The errors of the pipeline and the exit codes of a run.

SparkAppError                        1
├── TransientError                   the same run may succeed later
│   ├── RunInterruptedError        130
│   ├── RateLimitedError            75
│   ├── AlreadyRunningError         73
│   └── ServiceUnavailableError     69   Java, Postgres, Kafka or Yahoo does not respond
│       └── PassingFailureError     69   may pass within seconds: retried at once
└── TerminalError                    the same run fails again
    ├── DataIncompleteError         65   a gate, or data of an earlier stage is missing
    └── UsageError                   2   arguments, a date in the future, synthetic and real data mixed
        └── SettingsError            2   pipeline.toml, environment, a bad database URL

If several apply to one run, the first of this list is its exit code.
"""

import datetime as dt
from collections.abc import Sequence


class SparkAppError(Exception):
    """Base of all errors; the text is one sentence that a user can act on."""

    exit_code = 1


class TransientError(SparkAppError):
    """The same run may succeed later."""


class RunInterruptedError(TransientError):
    """The user or the system stopped the run."""

    exit_code = 130


class RateLimitedError(TransientError):
    """The source answered with a rate limit, or the request budget is spent.

    `resume_at` (UTC): requests are blocked until then; None if that is unknown.
    """

    exit_code = 75

    def __init__(self, message: str, *, resume_at: dt.datetime | None = None) -> None:
        super().__init__(message)
        self.resume_at = resume_at


class AlreadyRunningError(TransientError):
    """Another process runs the same stage and date, or uses what this run needs for itself."""

    exit_code = 73


class ServiceUnavailableError(TransientError):
    """A service that the run needs does not respond."""

    exit_code = 69


class PassingFailureError(ServiceUnavailableError):
    """Postgres failed for a reason that may pass within seconds."""


class LastingFailureError(ServiceUnavailableError):
    """A service cannot do its work until somebody changes what the text names: running again does not help."""


class TerminalError(SparkAppError):
    """The same run, unchanged, cannot succeed."""


class UsageError(TerminalError):
    """The command line asks for something that cannot be done."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is unknown, malformed or out of range."""


class DataIncompleteError(TerminalError):
    """Too much of the data that the stage needs is missing."""

    exit_code = 65


_ORDER = (130, 75, 73, 69, 65, 2, 1)


def first_to_count(errors: Sequence[SparkAppError]) -> SparkAppError | None:
    """Return the error that decides the exit code of a run, None for no error."""
    return min(errors, key=lambda error: _ORDER.index(error.exit_code), default=None)


def first_exit_code(exit_codes: Sequence[int]) -> int:
    """Return the exit code of a run of several parts, 0 if all succeeded."""
    return min((code for code in exit_codes if code), key=_ORDER.index, default=0)
