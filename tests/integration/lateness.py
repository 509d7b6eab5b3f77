"""How late a busy machine resumes a thread: what time stamps of this process may be wrong by."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

_NAP_SECONDS = 0.002


@dataclass
class Lateness:
    """The longest that a sleeping thread was kept waiting, in seconds."""

    worst: float = 0.0


@contextlib.contextmanager
def watching_lateness() -> Iterator[Lateness]:
    """Note, for the duration of the block, how late a thread wakes up."""
    lateness, over = Lateness(), threading.Event()

    def nap() -> None:
        while not over.is_set():
            began = time.monotonic()
            time.sleep(_NAP_SECONDS)
            lateness.worst = max(lateness.worst, time.monotonic() - began - _NAP_SECONDS)

    thread = threading.Thread(target=nap, daemon=True)
    thread.start()
    try:
        yield lateness
    finally:
        over.set()
        thread.join()
