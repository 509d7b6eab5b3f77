"""A PostgreSQL of the tests' own that crashes and comes back at the same port."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from spark_app.storage.postgres.database import Database, parse_url
from spark_app.storage.postgres.embedded.server import EmbeddedPostgres


class BreakableServer:
    """A server under `home`; `database` is its own one, as the owner sees it."""

    def __init__(self, embedded: EmbeddedPostgres, database: Database) -> None:
        self._embedded = embedded
        self.database = database

    def stop(self) -> None:
        """End all connections at once, as a crash does; the log of transactions is replayed at the next start."""
        self._embedded._control("stop", "-w", "-m", "immediate")

    def start(self) -> None:
        """Start again, if it is stopped."""
        if not self._embedded._is_running():
            options = f"-c listen_addresses=127.0.0.1 -c port={self.database.parameters['port']}"
            log = str(self._embedded._home / "server.log")
            options += " -c unix_socket_directories="
            started = self._embedded._control("start", "-w", "-l", log, "-o", options)
            assert started.returncode == 0, started.stdout

    def restart(self) -> None:
        """Crash and come back."""
        self.stop()
        self.start()


@contextlib.contextmanager
def breakable_server(home: Path) -> Iterator[BreakableServer]:
    """Run a server for the duration of the block."""
    embedded = EmbeddedPostgres(home)
    with embedded.lease() as url:
        yield BreakableServer(embedded, parse_url(url))
