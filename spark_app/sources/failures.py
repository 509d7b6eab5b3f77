"""How a source says, inside this package, that one request did not bring what was asked for."""

from __future__ import annotations

from spark_app.errors import SparkAppError
from spark_app.sources.contract import Outcome
from spark_app.sources.values import read_text

_LONGEST_MESSAGE = 500


class FetchError(SparkAppError):
    """A typed failure of one request; it becomes an `Answer` and never leaves the sources.

    `may_pass` says that the same request may succeed in a moment.
    """

    def __init__(self, outcome: Outcome, message: str, *, may_pass: bool = False) -> None:
        # It may quote the answer, which may hold anything.
        super().__init__((read_text(message) or "")[:_LONGEST_MESSAGE])
        self.outcome = outcome
        self.may_pass = may_pass


BODY_ERRORS = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What Python raises while it reads a body that has another shape than it should."""


def describe(error: Exception) -> str:
    """Return an error's kind and text; its repr may hold the whole body."""
    return f"{type(error).__name__}: {error}"
