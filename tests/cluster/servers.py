"""Servers of a test: started on loopback, waited for, and ended with everything that they started."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

PATIENCE_SECONDS = 240.0
_PASSED_ON = ("PATH", "HOME", "JAVA_HOME", "LANG")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def server(
    command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in a process group of its own, with little of this process's environment."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            env={**passed_on, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def wait_until(is_ready: Callable[[], bool], what: str, *logs: Path) -> None:
    """Look again and again, with patience for a busy machine."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            if is_ready():
                return
        time.sleep(0.2)
    raise AssertionError(f"{what} did not come\n" + "\n".join(log.read_text()[-2000:] for log in logs))


def listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 5):
        return True
