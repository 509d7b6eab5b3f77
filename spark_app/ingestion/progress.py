"""The progress of long work: what it will take, then a bar on a terminal, or lines in a log."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from spark_app.ingestion.landing import Landing
from spark_app.sources.contract import Outcome

logger = logging.getLogger(__name__)

_WORTH_TELLING_SECONDS = 10
_SECONDS_BETWEEN_LOOKS = 2.0
_COLUMNS = 80
_BAR = "requests {n_fmt}/{total_fmt} |{bar:20}| elapsed {elapsed}{postfix}"


def announce(requests: int, delay_seconds: float) -> None:
    """Log how many requests will be sent and how long that takes, where it takes 10 seconds or more."""
    seconds = requests * delay_seconds
    if seconds >= _WORTH_TELLING_SECONDS:
        logger.info("sending %d requests, %g s apart: about %s", requests, delay_seconds, _in_words(seconds))


@contextlib.contextmanager
def progress_of(waves: int, requests: int, count_sent: Callable[[], int]) -> Iterator[WaveProgress]:
    """Yield what shows the progress of the waves: a bar where a job has a terminal, else lines in the log.

    Args:
        count_sent: the number of requests that were sent so far, on any day; only a bar asks for it.
    """
    with contextlib.ExitStack() as resources:
        terminal = _terminal(resources) if waves > 1 else None
        if terminal is None:
            yield WaveProgress(waves, requests)
        else:
            # A terminal of an unknown width says 0, and nothing would be drawn.
            columns = os.get_terminal_size(terminal.fileno()).columns or _COLUMNS
            bar = resources.enter_context(tqdm(total=requests, file=terminal, bar_format=_BAR, ncols=columns))
            yield WaveBar(waves, requests, bar, count_sent)


def _terminal(resources: contextlib.ExitStack) -> TextIO | None:
    """Open the terminal of the launcher, as a job's own stdout is a pipe of spark-submit; None where there is none."""
    if (place := os.environ.get("LAUNCHER_TERMINAL")) is None:
        return sys.stdout if sys.stdout.isatty() else None
    with contextlib.suppress(OSError):
        return resources.enter_context(Path(place).open("w"))
    return None


class WaveProgress:
    """Logs after each wave what is done and how long the rest will take; nothing where there is one wave."""

    def __init__(self, waves: int, requests: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._waves = waves
        self._requests = requests
        self._monotonic = monotonic
        self._started = monotonic()
        self._done = 0
        self._answered = 0

    def wait(self, requests_in_flight: int) -> None:
        """Note that a wave is still on its way; called several times a second."""

    def wave_done(self, requests: int, landing: Landing) -> None:
        """Note that one more wave of so many requests is done, with all outcomes so far."""
        self._done += 1
        self._answered += requests
        if self._waves > 1:
            self._show(landing)

    def _show(self, landing: Landing) -> None:
        elapsed = self._monotonic() - self._started
        logger.info(
            "wave %d/%d  requests %d/%d  rows %s  failed %d  elapsed %s  ETA %s",
            *(self._done, self._waves, self._answered, self._requests, *_rows_and_failures(landing)),
            *(format_minutes(elapsed), format_minutes(elapsed / self._answered * (self._requests - self._answered))),
        )


class WaveBar(WaveProgress):
    """Moves a bar with each request: those of finished waves, and in between those that the throttle let pass."""

    def __init__(
        self,
        waves: int,
        requests: int,
        bar: tqdm[Any],
        count_sent: Callable[[], int],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(waves, requests, monotonic=monotonic)
        self._bar = bar
        self._count_sent = count_sent
        self._sent_before = count_sent()
        self._look_at = self._started
        self._shown = 0
        self._first: tuple[int, float] | None = None
        self._outcomes = ""

    def wait(self, requests_in_flight: int) -> None:
        """Show what was sent meanwhile; retries count as requests, so no more than the waves in flight have."""
        if (now := self._monotonic()) >= self._look_at:
            self._look_at = now + _SECONDS_BETWEEN_LOOKS
            sent = self._count_sent() - self._sent_before
            self._move(max(self._answered, min(sent, self._answered + requests_in_flight)), now)

    def _show(self, landing: Landing) -> None:
        rows, failed = _rows_and_failures(landing)
        self._outcomes = f", rows {rows}, failed {failed}"
        self._move(self._answered, self._monotonic())

    def _move(self, requests: int, now: float) -> None:
        self._bar.n = self._shown = max(self._shown, requests)
        if self._shown and self._first is None:
            self._first = self._shown, now
        self._bar.set_postfix_str(f"left {self._left(now)}{self._outcomes}")

    def _left(self, now: float) -> str:
        """The time left by the requests since the first one: the bar's own would count the start of Spark's workers."""
        if self._first is None or self._shown == self._first[0]:
            return "?" if self._shown < self._requests else tqdm.format_interval(0)
        shown, since = self._first
        return tqdm.format_interval((now - since) / (self._shown - shown) * (self._requests - self._shown))


def _rows_and_failures(landing: Landing) -> tuple[str, int]:
    return f"{sum(t.rows for t in landing.tickers):,}", sum(t.outcome != Outcome.OK for t in landing.tickers)


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def format_minutes(seconds: float) -> str:
    """Write a duration as 14m35s, from an hour on as 2h05m."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"
