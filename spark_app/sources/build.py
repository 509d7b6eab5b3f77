"""Building the source that the settings name, once per worker process."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from spark_app.errors import UsageError
from spark_app.sources.contract import Limiter, Source, SourceConfig, utc_now

if TYPE_CHECKING:
    from spark_app.sources.yahoo.session import YahooSession


def build_source(config: SourceConfig, limiter: Limiter, *, clock: Callable[[], dt.datetime] = utc_now) -> Source:
    """Return the source that `config` names, for the current task.

    Yahoo's session with its cookie and crumb, and the synthetic market, are expensive and live as long as the worker
    process. The limiter belongs to the task: another run may have another pause.

    Raises: UsageError for an unknown source.
    """
    if config.name == "synthetic":
        return _synthetic_source(config)
    if config.name == "yahoo":
        from spark_app.sources.yahoo.source import YahooSource

        session = _yahoo_session(config.endpoint, config.timeout_seconds)
        session.limiter = limiter
        return YahooSource(config, session, clock=clock)
    raise UsageError(f"unknown source {config.name!r}: choose yahoo or synthetic")


# One entry: yfinance has one crumb per process, a second session would invalidate that of the first.
@functools.lru_cache(maxsize=1)
def _yahoo_session(endpoint: str | None, timeout_seconds: float) -> YahooSession:
    from spark_app.sources.yahoo.session import open_yahoo_session

    return open_yahoo_session(_NoLimiter(), endpoint=endpoint, timeout_seconds=timeout_seconds)


class _NoLimiter:
    """The limiter of a session before the first task sets its own: it sends nothing."""

    def acquire(self) -> None:
        raise AssertionError("no task has set its limiter")

    def report_rate_limit(self, message: str, *, retry_after_seconds: float = 0.0) -> None: ...


@functools.lru_cache(maxsize=1)
def _synthetic_source(config: SourceConfig) -> Source:
    from spark_app.sources.synthetic.source import SyntheticSource

    return SyntheticSource(config)
