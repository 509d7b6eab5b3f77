"""TLS before a PostgreSQL that was built without it, with a certificate authority of the tests' own.

It speaks the beginning of PostgreSQL's protocol: a client asks for TLS, gets "S", and shakes hands; or "N" for no.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.storage.postgres.listener import Listener

_TLS_REQUEST, _GSS_REQUEST = struct.pack("!II", 8, 80877103), struct.pack("!II", 8, 80877104)
_NAMES = ("localhost", "db.example.com")


class TlsFront(Listener):
    """Forwards connections to a server's port; only encrypted ones, `encrypted` counts them.

    Without a certificate it answers like a server that knows no TLS.
    """

    def __init__(self, target: int, certificate: Path | None) -> None:
        super().__init__()
        self._target = target
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self.encrypted = 0
        self.start()

    def serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            while (asked := client.recv(8, socket.MSG_WAITALL)) == _GSS_REQUEST:
                client.sendall(b"N")
            if asked != _TLS_REQUEST:
                return
            if self._context is None:
                client.sendall(b"N")
                return
            client.sendall(b"S")
            with self._context.wrap_socket(client, server_side=True) as encrypted:
                self.encrypted += 1
                self._forward(encrypted)

    def _forward(self, client: ssl.SSLSocket) -> None:
        with socket.create_connection(("127.0.0.1", self._target)) as server:
            answers = threading.Thread(target=_pump, args=[server, client], daemon=True)
            answers.start()
            _pump(client, server)
            answers.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def tls_front(target: int, certificate: Path | None) -> Iterator[TlsFront]:
    """Run a front for the duration of the block."""
    front = TlsFront(target, certificate)
    try:
        yield front
    finally:
        front.close()


def make_authority(folder: Path, name: str) -> Path:
    """Make a certificate authority; returns the file of its certificate, its key lies beside it."""
    certificate = folder / f"{name}.crt"
    _openssl("req", "-x509", *_new_key(certificate), "-out", certificate, "-days", "2", "-subj", f"/CN={name}")
    return certificate


def make_certificate(authority: Path) -> Path:
    """Let the authority sign a server's certificate for `localhost` and `db.example.com`; returns its file."""
    certificate = authority.with_name(f"server-of-{authority.name}")
    request, names = certificate.with_suffix(".csr"), certificate.with_suffix(".names")
    names.write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in _NAMES))
    _openssl("req", *_new_key(certificate), "-out", request, "-subj", "/CN=server")
    signed = ("-CA", authority, "-CAkey", authority.with_suffix(".key"), "-CAcreateserial", "-extfile", names)
    _openssl("x509", "-req", "-in", request, *signed, "-out", certificate, "-days", "2")
    return certificate


def _new_key(certificate: Path) -> tuple[str | Path, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    return (*curve, "-nodes", "-keyout", certificate.with_suffix(".key"))


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
