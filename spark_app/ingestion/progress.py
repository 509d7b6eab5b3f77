"""The progress lines of long work."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from spark_app.ingestion.landing import Landing
from spark_app.sources.contract import Outcome

logger = logging.getLogger(__name__)


class WaveProgress:
    """Logs after each wave what is done and how long the rest will take; nothing where there is one wave."""

    def __init__(self, waves: int, tickers: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._waves = waves
        self._tickers = tickers
        self._monotonic = monotonic
        self._started = monotonic()
        self._done = 0

    def log(self, landing: Landing) -> None:
        """Log that one more wave is done, with all outcomes so far."""
        self._done += 1
        if self._waves == 1:
            return
        elapsed = self._monotonic() - self._started
        logger.info(
            "wave %d/%d  tickers %d/%d  rows %s  failed %d  elapsed %s  ETA %s",
            *(self._done, self._waves, len(landing.tickers), self._tickers),
            *(f"{sum(t.rows for t in landing.tickers):,}", sum(t.outcome != Outcome.OK for t in landing.tickers)),
            *(format_minutes(elapsed), format_minutes(elapsed / self._done * (self._waves - self._done))),
        )


def format_minutes(seconds: float) -> str:
    """Write a duration as 14m35s, from an hour on as 2h05m."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"
