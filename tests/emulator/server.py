"""The emulator itself: an HTTP/1.1 server on loopback that also takes proxy requests."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, cast

from tests.emulator.bodies import Answer
from tests.emulator.charts import widened
from tests.emulator.crumbs import Crumbs
from tests.emulator.endpoints import answer_request
from tests.emulator.faults import NO_FAULT, Fault, Faults
from tests.emulator.log import Request, RequestLog
from tests.emulator.market import Market

_A3 = re.compile(r"\bA3=([^;]+)")


class YahooEmulator:
    """Yahoo and the issuer's files on a free port of 127.0.0.1, from `start()` to `stop()` or as a context.

    `url` is the proxy that a client of Yahoo is pointed at (plain HTTP), and the base URL of the workbooks.
    `market` may be changed or replaced at any time, as may the options; `log` has every request.

    Args:
        float32: give prices as Yahoo does, rounded to float32.
        latency_seconds: how long every answer takes at least.
    """

    def __init__(self, market: Market | None = None, *, float32: bool = False, latency_seconds: float = 0.0) -> None:
        self.market = market or Market()
        self.float32 = float32
        self.latency_seconds = latency_seconds
        self.log = RequestLog()
        self.faults = Faults()
        self.crumbs = Crumbs()
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """http://127.0.0.1:PORT while it runs."""
        if self._server is None:
            raise RuntimeError("the emulator is not running")
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> Self:
        """Listen on a free port and answer in threads of its own."""
        self._server = _Server(self)
        self._server.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection, and wait for the threads; an unfinished answer is cut off."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def fail(self, where: str = "", **options: Any) -> Fault:
        """Let requests fail; `options` are the fields of `Fault`. Its `hits` tell how often it struck."""
        fault = Fault(where, **options)
        self.faults.add(fault)
        return fault

    def answer(self, request: Request) -> Answer:
        """Answer a request as Yahoo would while nothing is wrong."""
        return answer_request(request, self.market, self.crumbs, widened if self.float32 else float)


class _Server(ThreadingHTTPServer):
    """Keeps its connections and their threads, so that stopping leaves none behind."""

    request_queue_size = 128

    def __init__(self, emulator: YahooEmulator) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.emulator = emulator
        self.stopping = threading.Event()
        self._listener = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._connections: dict[threading.Thread, socket.socket] = {}

    def start(self) -> None:
        self._listener.start()

    def stop(self) -> None:
        self.stopping.set()
        self.shutdown()
        self._listener.join()
        self.server_close()
        for thread, connection in list(self._connections.items()):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(target=self._serve, args=(request, client_address), daemon=True)
        self._connections[thread] = request
        thread.start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            self._connections.pop(threading.current_thread())

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that went away is no error of ours
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server = cast(_Server, self.server)
        emulator = server.emulator
        request = self._request()
        fault = request.fault = emulator.faults.take(request)
        emulator.log.add(request)
        effect = fault or NO_FAULT
        while effect.until is not None and not effect.until.is_set() and not server.stopping.is_set():
            effect.until.wait(0.05)
        server.stopping.wait(emulator.latency_seconds + effect.delay_seconds)
        if effect.reset:
            self._reset()
            return
        answer = effect.alter(emulator.answer(request))
        request.note_answer(answer.status)
        self._send(answer, effect.cut_after_bytes)

    def _request(self) -> Request:
        """Read the request; `url` is absolute, be it a proxy request or one for this server itself."""
        is_absolute = self.path.startswith("http://")
        url = self.path if is_absolute else f"http://{self.headers.get('Host', '')}{self.path}"
        cookie = _A3.search(self.headers.get("Cookie", ""))
        return Request(self.command, url, cookie[1] if cookie else None)

    def _send(self, answer: Answer, cut_after_bytes: int | None) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Type": answer.content_type, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[:cut_after_bytes])
        if cut_after_bytes is not None:
            self.close_connection = True

    def _reset(self) -> None:
        """Close with RST: no lingering, and past the orderly shutdown of the server."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the log has it all."""
