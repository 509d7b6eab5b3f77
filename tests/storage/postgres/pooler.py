"""A connection pooler on loopback, as far as a client can see one.

Like PgBouncer it answers the login itself, with a process id of its own. In transaction mode all clients share one
session of the server, which belongs to a client from the beginning to the end of its transaction.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator

import psycopg

from spark_app.storage.postgres.database import Database
from tests.storage.postgres.listener import Listener
from tests.storage.postgres.logins import url_of

_REPORTED = ("server_version", "server_encoding", "client_encoding", "DateStyle", "standard_conforming_strings")
_PROCESS_OF_ITS_OWN = 2_000_000_000


class Pooler(Listener):
    """Accepts connections at `port`; `mode` is `transaction` or `session`."""

    def __init__(self, server: Database, mode: str) -> None:
        super().__init__()
        self._server, self._mode = server, mode
        self._shared, self._turn = self._session(), threading.Lock()
        self.start()

    @property
    def process(self) -> int:
        """The server's process of the session that clients share."""
        return self._shared.info.backend_pid

    def setting(self, name: str) -> str:
        """A setting of the shared session, while no client uses it."""
        ((value,),) = self._shared.execute("SELECT current_setting(%s)", (name,)).fetchall()
        return str(value)

    def close(self) -> None:
        """Accept no more, and end the shared session."""
        super().close()
        self._shared.close()

    def _session(self) -> psycopg.Connection:
        return psycopg.connect(url_of(self._server), autocommit=True)

    def serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), client:
            _log_in(client, self._shared)
            if self._mode == "transaction":
                self._relay(client, self._shared, self._turn)
            else:
                with self._session() as own:
                    self._relay(client, own, threading.Lock())

    def _relay(self, client: socket.socket, session: psycopg.Connection, turn: threading.Lock) -> None:
        with socket.socket(fileno=os.dup(session.pgconn.socket)) as server:
            server.setblocking(True)
            has_turn = False
            while (message := _read(client))[:1] != b"X":
                if not has_turn:
                    has_turn = turn.acquire()
                server.sendall(message)
                if message[:1] in b"QS":
                    answer = b""
                    while answer[:1] != b"Z":
                        answer = _read(server)
                        client.sendall(answer)
                    if answer[-1:] == b"I":
                        turn.release()
                        has_turn = False
            if has_turn:
                turn.release()


def _log_in(client: socket.socket, session: psycopg.Connection) -> None:
    while True:
        (length,) = struct.unpack("!I", _exactly(client, 4))
        if _exactly(client, length - 4)[:2] == struct.pack("!H", 3):
            break
        client.sendall(b"N")  # No TLS, no GSS.
    answer = b"R" + struct.pack("!II", 8, 0)
    for name in _REPORTED:
        value = (session.info.parameter_status(name) or "").encode()
        body = name.encode() + b"\0" + value + b"\0"
        answer += b"S" + struct.pack("!I", len(body) + 4) + body
    answer += b"K" + struct.pack("!III", 12, _PROCESS_OF_ITS_OWN, 7)
    client.sendall(answer + b"Z" + struct.pack("!I", 5) + b"I")


def _read(source: socket.socket) -> bytes:
    head = _exactly(source, 5)
    (length,) = struct.unpack("!I", head[1:])
    return head + _exactly(source, length - 4)


def _exactly(source: socket.socket, size: int) -> bytes:
    data = source.recv(size, socket.MSG_WAITALL) if size else b""
    if len(data) < size:
        raise EOFError
    return data


@contextlib.contextmanager
def pooler(server: Database, mode: str) -> Iterator[Pooler]:
    """Run a pooler in front of the server's database for the duration of the block."""
    opened = Pooler(server, mode)
    try:
        yield opened
    finally:
        opened.close()
