"""A bad network on loopback: a TCP proxy before PostgreSQL that delays, drops, resets, or lets answers disappear."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace

from spark_app.storage.postgres.database import Database
from tests.storage.postgres.listener import Listener

_RESET = struct.pack("ii", 1, 0)
_LOOK_AROUND_SECONDS = 0.05


class FaultyProxy(Listener):
    """Forwards connections to a port of this machine.

    `delay_seconds` pass before each part of an answer. While `is_silent`, nothing arrives on either
    side, not even that the other one is gone. With `reset_after` a
    connection ends after so many bytes of answers. `lose_answer_to` is a text: the first statement with it reaches the
    server, and the connection ends instead of its answer; with `once_said` only on a connection that has said that.
    """

    def __init__(self, target: int) -> None:
        super().__init__()
        self._target = target
        self._epoch = 0
        self.delay_seconds = 0.0
        self.is_silent = False
        self.reset_after: int | None = None
        self.lose_answer_to: bytes | None = None
        self.once_said = b""
        self.start()

    def drop(self) -> None:
        """End all connections."""
        self._epoch += 1

    def heal(self) -> None:
        """Be a good network from now on."""
        self.delay_seconds, self.is_silent, self.reset_after = 0.0, False, None
        self.lose_answer_to, self.once_said = None, b""

    def close(self) -> None:
        """Accept no more, and end what is there."""
        super().close()
        self.drop()

    def serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self._target)) as server:
            self._forward(client, server)
            # Without waiting for what is on its way: the client gets a reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        epoch, answered, has_said, is_losing = self._epoch, 0, False, False
        while self._epoch == epoch:
            ready, _, _ = select.select([client, server], [], [], _LOOK_AROUND_SECONDS)
            if client in ready:
                if not (asked := client.recv(65536)):
                    self._stay_silent(epoch)
                    return
                if not self.is_silent:
                    server.sendall(asked)
                has_said |= self.once_said in asked
                if has_said and self.lose_answer_to and self.lose_answer_to in asked:
                    self.lose_answer_to, is_losing = None, True
            if server in ready:
                answer = server.recv(65536)
                answered += len(answer)
                if not answer or is_losing or (self.reset_after is not None and answered > self.reset_after):
                    return
                if not self.is_silent:
                    time.sleep(self.delay_seconds)
                    client.sendall(answer)

    def _stay_silent(self, epoch: int) -> None:
        """Keep from the server that the client is gone."""
        while self.is_silent and self._epoch == epoch:
            time.sleep(_LOOK_AROUND_SECONDS)


@contextlib.contextmanager
def behind_proxy(database: Database) -> Iterator[tuple[FaultyProxy, Database]]:
    """Yield a proxy before the database's server, and the database as it is reached through it."""
    proxy = FaultyProxy(int(database.parameters["port"]))
    try:
        yield proxy, replace(database, parameters={**database.parameters, "port": str(proxy.port)})
    finally:
        proxy.close()
