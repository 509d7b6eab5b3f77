"""Advisory locks: who works on what. They belong to a connection, so a run that dies leaves none behind."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import psycopg

from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.retry import retried

_OWN_PROCESS = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END_LOST = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s"
_NOBODY = (None, None)
# Nothing that is asked here takes its time.
_LONGEST_ANSWER_SECONDS = 15.0

Take = Callable[[psycopg.Connection], None]
"""Takes locks over a connection. Raises: AnotherRunActiveError: somebody else has one of them."""


class Hold:
    """Locks that are held, and taken again where their connection was lost: the server restarted, or ended it."""

    def __init__(self, database: Database, take: Take) -> None:
        self.patience = database.patience
        self._impatient = replace(database, patience=replace(database.patience, answer_seconds=_LONGEST_ANSWER_SECONDS))
        self._take = take
        self._connection: psycopg.Connection | None = None
        self._lost: Sequence[object] = _NOBODY

    @retried
    def confirm(self) -> None:
        """Make sure that the locks are held.

        Raises: AnotherRunActiveError: somebody else has them. ServiceUnavailableError: that cannot be found out.
        """
        if self._connection is not None and not _answers(self._connection):
            self._connection.close()
            self._connection = None
        if self._connection is None:
            with translated_errors("locking"):
                self._connection = self._open()

    def _open(self) -> psycopg.Connection:
        connection = self._impatient.connect()
        try:
            # Where only the network failed, the server may not have noticed, and keep the locks of the lost connection.
            connection.execute(_END_LOST, self._lost)
            self._take(connection)
            self._lost = connection.execute(_OWN_PROCESS).fetchone() or _NOBODY
        except BaseException:
            give_back(connection)
            raise
        return connection

    def release(self) -> None:
        """Give the locks back."""
        if self._connection is not None:
            give_back(self._connection)


@contextlib.contextmanager
def holding(database: Database, take: Take) -> Iterator[Hold]:
    """Hold locks for the duration of the block."""
    hold = Hold(database, take)
    hold.confirm()
    try:
        yield hold
    finally:
        hold.release()


def give_back(connection: psycopg.Connection) -> None:
    """Give all locks of a connection back, and close it.

    At once: the server notices only a moment later that a connection is closed, when the next run may ask already.
    """
    with contextlib.suppress(psycopg.Error):
        connection.execute("SELECT pg_advisory_unlock_all()")
    connection.close()


def _answers(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("SELECT")
    except (psycopg.OperationalError, psycopg.InterfaceError):
        return False
    return True
