"""Asking the source through Spark's workers and landing every answer in staging, wave by wave."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pyspark.sql import Column, Observation
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DateType, StringType, StructField, StructType

from spark_app import market_calendar
from spark_app.schemas import FETCHES
from spark_app.sources.contract import FetchRequest, Kind, Outcome, SourceConfig
from spark_app.sources.limiters import pause_limiter_of
from spark_app.sources.worker import answer_requests
from spark_app.stages.context import FetchSummary, StageContext
from spark_app.storage.run_log import ConsumerError
from spark_app.storage.staging import FETCHES_TABLE

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

QUOTES_PER_REQUEST = 50
"""Yahoo fails above 99 symbols a request; others saw trouble from 65 on."""

_REQUESTS_PER_WORKER = 16
_SYNTHETIC_START = dt.date(2015, 1, 2)
_REQUEST_SCHEMA = StructType(
    [
        StructField("kind", StringType()),
        StructField("tickers", ArrayType(StringType())),
        StructField("window_start", DateType()),
        StructField("window_end", DateType()),
    ]
)


@dataclass(frozen=True)
class LandedTicker:
    """What became of one ticker's request, observed while it was landed."""

    kind: str
    ticker: str
    outcome: str
    message: str | None
    raw_text: str | None
    requests: int
    snapshot_date: dt.date | None
    left_out: int


@dataclass
class Landing:
    """Everything that one stage asked for and what came; filled wave by wave."""

    landed: list[LandedTicker] = field(default_factory=list)
    not_asked: list[LandedTicker] = field(default_factory=list)

    def of(self, kind: Kind) -> list[LandedTicker]:
        """The tickers asked for one kind."""
        return [ticker for ticker in self.landed + self.not_asked if ticker.kind == kind]

    def summary(self, kind: Kind) -> FetchSummary:
        """Sum up one kind, with the requests of all of them."""
        tickers = self.of(kind)
        return FetchSummary(
            requests=sum(t.requests for t in self.landed),
            answered=tuple(t.ticker for t in tickers if t.outcome == Outcome.OK),
            failed={t.ticker: (t.outcome, t.message or "") for t in tickers if t.outcome != Outcome.OK},
        )

    def errors(self) -> tuple[ConsumerError, ...]:
        """What was wrong, for `logs_consumer_error`."""
        return tuple(
            ConsumerError(f"{t.kind} of {t.ticker}: {t.outcome}: {t.message}", t.raw_text)
            for t in self.landed
            if t.outcome != Outcome.OK
        )

    @property
    def is_rate_limited(self) -> bool:
        return any(t.outcome == Outcome.RATE_LIMITED for t in self.landed)


def chart_requests(first_dates: Mapping[str, dt.date], now: dt.datetime) -> list[FetchRequest]:
    """Ask for each ticker's bars from its first date to the last completed session.

    A chart costs one request for any range. It runs beyond the as-of session because closes stand on the
    price basis of today: only so do later splits, which they already contain, become known.
    """
    last = market_calendar.last_completed_session(now)
    return [FetchRequest(Kind.CHART, (ticker,), first, last) for ticker, first in first_dates.items()]


def quote_requests(tickers: Sequence[str]) -> list[FetchRequest]:
    """Ask for market caps, 50 tickers a request."""
    return [FetchRequest(Kind.QUOTE, tuple(batch)) for batch in _batches(tickers, QUOTES_PER_REQUEST)]


def land(context: StageContext, stage: str, requests: Sequence[FetchRequest]) -> Landing:
    """Ask for everything in `requests`, each wave landed in `fetches` by one atomic append.

    Stops after the wave in which the source refused to answer; what was not asked is listed as such.
    """
    landing = Landing()
    started = time.monotonic()
    waves = _batches(requests, _wave_size(context, requests))
    for number, wave in enumerate(waves):
        if landing.is_rate_limited:
            landing.not_asked += [_not_asked(r.kind, t) for r in wave for t in r.tickers]
            continue
        landing.landed += _land_wave(context, wave, transaction=f"{context.request.run_id}/{stage}/wave {number}")
        if len(waves) > 1:
            _log_progress(number + 1, len(waves), landing, time.monotonic() - started)
    return landing


def _land_wave(context: StageContext, wave: Sequence[FetchRequest], *, transaction: str) -> list[LandedTicker]:
    rows = [(r.kind.value, list(r.tickers), r.window_start, r.window_end) for r in wave]
    worker = functools.partial(
        answer_requests,
        config=_source_config(context),
        make_limiter=functools.partial(pause_limiter_of, context.request.run_id, context.settings.fetch.delay_seconds),
        run_id=context.request.run_id,
    )
    asked = context.local_frame(rows, _REQUEST_SCHEMA).repartition(_workers(context, wave))
    landed = Observation()
    answers = asked.mapInPandas(worker, FETCHES).observe(landed, F.collect_list(_landed_columns()).alias("tickers"))
    # The append is the only action on these answers: any other would send every request again.
    context.staging.append(FETCHES_TABLE, answers, transaction=transaction)
    return [LandedTicker(**row.asDict()) for row in landed.get["tickers"]]


def _landed_columns() -> Column:
    columns = ("kind", "ticker", "outcome", "message", "raw_text", "requests", "snapshot_date")
    return F.struct(*columns, F.size("left_out").alias("left_out"))


def _workers(context: StageContext, wave: Sequence[FetchRequest]) -> int:
    """A worker process costs a second to start, and a cookie and a crumb: only where there is work for it."""
    return min(context.spark.sparkContext.defaultParallelism, 1 + len(wave) // _REQUESTS_PER_WORKER)


def _source_config(context: StageContext) -> SourceConfig:
    source, synthetic = context.settings.source, context.settings.synthetic
    is_synthetic = source.name == "synthetic"
    last = market_calendar.last_completed_session(context.request.now)
    return SourceConfig(
        name=source.name,
        endpoint=source.endpoint,
        holdings_provider=source.holdings_provider,
        holdings_url=source.holdings_url,
        timeout_seconds=source.timeout_seconds,
        max_retries=context.settings.fetch.max_retries,
        synthetic_seed=synthetic.seed,
        synthetic_stocks_per_sector=synthetic.stocks_per_sector,
        sessions=tuple(market_calendar.sessions_between(_SYNTHETIC_START, last)) if is_synthetic else (),
    )


def _wave_size(context: StageContext, requests: Sequence[FetchRequest]) -> int:
    """The synthetic market answers at once: there is nothing to lose between its waves."""
    if context.settings.source.name == "synthetic":
        return max(1, len(requests))
    return context.settings.fetch.wave_size


def _batches(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _not_asked(kind: Kind, ticker: str) -> LandedTicker:
    return LandedTicker(kind, ticker, Outcome.RATE_LIMITED, "not asked after the rate limit", None, 0, None, 0)


def _log_progress(wave: int, waves: int, landing: Landing, elapsed_seconds: float) -> None:
    failed = sum(t.outcome != Outcome.OK for t in landing.landed)
    remaining = elapsed_seconds / wave * (waves - wave)
    logger.info(
        "wave %d/%d  tickers %d  failed %d  elapsed %s  ETA %s",
        *(wave, waves, len(landing.landed), failed),
        *(_minutes(elapsed_seconds), _minutes(remaining)),
    )


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}m{int(seconds) % 60:02d}s"
