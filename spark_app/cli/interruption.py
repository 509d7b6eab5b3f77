"""Ctrl+C and SIGTERM are a normal way to stop: what is in flight is finished and stored, nothing more is begun."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, ClassVar

from spark_app.errors import RunInterruptedError

_SIGNALS = {"INT": signal.SIGINT, "TERM": signal.SIGTERM}
_STDERR = 2
_ONE_PRESS_SECONDS = 1.0
_LAST_WORDS_SECONDS = 0.3
_STOPPING = b"stopping: what is in flight is finished and stored (press Ctrl+C again to stop immediately)\n"
_AT_ONCE = b"stopped immediately; run the same command to resume with what was stored\n"


class Interruption:
    """Notes that the run is to stop; a second request, later than a moment, ends the process at once.

    Attributes: `stopping`, set from the first request on.
    """

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, leave: Callable[[int], object] = os._exit
    ) -> None:
        self.stopping = threading.Event()
        self._monotonic = monotonic
        self._leave = leave
        self._first_at = 0.0

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Take both signals over for the duration of the block, in this process."""
        before = {number: signal.getsignal(number) for number in _SIGNALS.values()}
        self.take_over()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def take_over(self) -> None:
        """Take both signals over; again after something else did, as Spark's context does with SIGINT."""
        for number in _SIGNALS.values():
            signal.signal(number, self._handle)

    @contextlib.contextmanager
    def watching_java(self) -> Iterator[None]:
        """Take both signals over in the JVM of spark-submit as well.

        Without this it dies of a signal at once, and all that is in flight with it. One that only the JVM gets,
        as from a process manager, it passes on to this process.
        """
        from pyspark import SparkContext
        from pyspark.java_gateway import ensure_callback_server_started

        SparkContext._ensure_initialized()
        gateway: Any = SparkContext._gateway
        ensure_callback_server_started(gateway)  # type: ignore[no-untyped-call]
        # By its full name, as in spark/java.py.
        java: Any = getattr(gateway.jvm, "sun.misc.Signal")
        before = {name: java.handle(java(name), _PassOn()) for name in _SIGNALS}
        try:
            yield
        finally:
            for name, handler in before.items():
                java.handle(java(name), handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        # A signal to the whole process group arrives twice: directly, and through the JVM.
        if not self.stopping.is_set():
            self._first_at = self._monotonic()
            self.stopping.set()
            os.write(_STDERR, _STOPPING)
        elif self._monotonic() - self._first_at > _ONE_PRESS_SECONDS:
            self._first_at = float("inf")
            os.write(_STDERR, _AT_ONCE)
            # The JVM, too, hands the signal on, and would complain of a process that is gone.
            time.sleep(_LAST_WORDS_SECONDS)
            self._leave(RunInterruptedError.exit_code)


class _PassOn:
    """A signal handler inside the JVM: hands the signal on to this process."""

    def handle(self, received: Any) -> None:
        os.kill(os.getpid(), _SIGNALS[received.getName()])

    class Java:
        """The interface that Py4J lets the JVM see."""

        implements: ClassVar = ["sun.misc.SignalHandler"]
