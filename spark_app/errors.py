"""Every error of the pipeline, and the exit code that it ends a run with.

SparkAppError                        1
├── TransientError                   try again later
│   ├── RunInterruptedError        130
│   ├── RateLimitedError            75
│   ├── AlreadyRunningError         73
│   └── ServiceUnavailableError     69   Java, Postgres, Kafka or Yahoo is not there
│       └── PassingFailureError     69   may be over in a moment: worth another try at once
└── TerminalError                    trying again changes nothing
    ├── DataIncompleteError         65   a gate, or what an earlier stage should have brought is missing
    └── UsageError                   2   arguments, a date in the future, synthetic and real data mixed
        └── SettingsError            2   pipeline.toml, environment, a bad database URL

Where several apply to one run, the first of this list counts.
"""

import datetime as dt
from collections.abc import Sequence


class SparkAppError(Exception):
    """Base of all our errors; its text is one sentence that a user can act on."""

    exit_code = 1


class TransientError(SparkAppError):
    """The same run may succeed later."""


class RunInterruptedError(TransientError):
    """The user or the system stopped the run."""

    exit_code = 130


class RateLimitedError(TransientError):
    """The source refused to answer for now, or the request budget is spent.

    `resume_at` (UTC) is the first moment at which asking again makes sense, None where nobody knows it.
    """

    exit_code = 75

    def __init__(self, message: str, *, resume_at: dt.datetime | None = None) -> None:
        super().__init__(message)
        self.resume_at = resume_at


class AlreadyRunningError(TransientError):
    """Another process runs the same stage and date, or uses what this run needs for itself."""

    exit_code = 73


class ServiceUnavailableError(TransientError):
    """Something that the run needs does not answer."""

    exit_code = 69


class PassingFailureError(ServiceUnavailableError):
    """Postgres failed for a reason that may be over in a moment."""


class TerminalError(SparkAppError):
    """Trying again without a change cannot succeed."""


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
    """Return the error whose exit code a run ends with, None of none."""
    return min(errors, key=lambda error: _ORDER.index(error.exit_code), default=None)


def first_exit_code(exit_codes: Sequence[int]) -> int:
    """Return the exit code that a run of several parts ends with, 0 where all ended well."""
    return min((code for code in exit_codes if code), key=_ORDER.index, default=0)
