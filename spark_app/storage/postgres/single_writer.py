"""One application at a time writes to staging, where the store itself cannot keep two apart."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import psycopg

from spark_app.errors import AnotherRunActiveError
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.holds import is_granted
from spark_app.storage.postgres.locks import holding

_TRY = "SELECT pg_try_advisory_lock(hashtextextended('staging has one writer', 0))"


@contextlib.contextmanager
def hold_writing(database: Database) -> Iterator[Callable[[], None]]:
    """Keep every other application from writing to staging for the duration of the block.

    Yields what makes sure of it, which threads may call at once.
    Raises: AnotherRunActiveError: another one writes.
    """

    def take(connection: psycopg.Connection) -> None:
        if not is_granted(connection, _TRY):
            raise AnotherRunActiveError("another run writes to staging, and S3 takes one at a time: wait for it to end")

    with holding(database, take) as hold:
        one_at_a_time = threading.Lock()

        def confirm() -> None:
            with one_at_a_time:
                hold.confirm()

        yield confirm
