"""A proxy before PostgreSQL that once keeps the answer to a run's COMMIT to itself and hangs up."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from spark_app.storage.database import Database

_CLOSES_A_RUN = b"finished_at = now()"
_COMMIT = b"COMMIT"


class LossyProxy:
    """Passes everything on, until a client that has closed a run in the run log commits; then `lost` is true."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.lost = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Close the port and all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._sockets:
            _hang_up(one)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, server = self._listener.accept()[0], socket.create_connection(self._target)
                self._sockets += [client, server]
                threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        is_silent = threading.Event()
        threading.Thread(target=_answer, args=(server, client, is_silent), daemon=True).start()
        closes_a_run = False
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                closes_a_run |= _CLOSES_A_RUN in data
                if closes_a_run and _COMMIT in data and not self.lost:
                    self.lost = True
                    is_silent.set()
                server.sendall(data)
        _hang_up(server)


@contextlib.contextmanager
def losing_one_commit(database: Database) -> Iterator[tuple[Database, LossyProxy]]:
    """Yield the database as it is reached through the proxy, and the proxy."""
    proxy = LossyProxy((database.parameters["host"], int(database.parameters["port"])))
    try:
        yield Database({**database.parameters, "port": str(proxy.port)}, database.password), proxy
    finally:
        proxy.close()


def _answer(server: socket.socket, client: socket.socket, is_silent: threading.Event) -> None:
    """Pass answers on; the first one that is to be lost has come from the server, so the commit has landed."""
    with contextlib.suppress(OSError):
        while (data := server.recv(65536)) and not is_silent.is_set():
            client.sendall(data)
    _hang_up(client)


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
