"""Asking the source through Spark's workers and landing every answer in staging, wave by wave."""

from __future__ import annotations

import datetime as dt
import functools
import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from pyspark.sql import Column, Observation
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DateType, StringType, StructField, StructType

from spark_app import market_calendar
from spark_app.ingestion.landing import NOT_ASKED, LandedTicker, Landing, without_request
from spark_app.ingestion.progress import WaveProgress
from spark_app.pipeline.context import StageContext
from spark_app.schemas import FETCHES
from spark_app.sources.contract import FetchRequest, Kind, Limiter, Outcome, SourceConfig
from spark_app.sources.worker import answer_requests
from spark_app.storage.delta.staging import FETCHES_TABLE
from spark_app.storage.postgres.limiter import FetchLimits, limiter_of
from spark_app.storage.postgres.throttle import forget_stop, read_throttle, request_stop

_T = TypeVar("_T")

QUOTES_PER_REQUEST = 50
"""Yahoo fails above 99 symbols a request; others saw trouble from 65 on."""

_REQUESTS_PER_WORKER = 16
_WAVES_IN_FLIGHT = 2
_LOOK_AROUND_SECONDS = 0.2
_SYNTHETIC_START = dt.date(2015, 1, 2)
_REQUEST_SCHEMA = StructType(
    [
        StructField("kind", StringType()),
        StructField("tickers", ArrayType(StringType())),
        StructField("window_start", DateType()),
        StructField("window_end", DateType()),
    ]
)


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


def land(context: StageContext, requests: Sequence[FetchRequest]) -> Landing:
    """Ask for everything in `requests`, each wave landed in `fetches` by one atomic append.

    While one wave is committed the next is asked already. After a rate limit, or where the run is to
    stop, no wave is begun; what was not asked is listed as such.
    """
    landing = Landing(hold=_held(context) if requests else None)
    if landing.hold or not requests:
        landing.tickers += _not_asked(requests, landing)
        return landing
    context.staging.ensure(FETCHES_TABLE)
    waves = deque(_batches(requests, _wave_size(context, requests)))
    # Other stages of the run may ask at the same time: each asking is stopped, and forgets that, by itself.
    asking = f"{context.request.run_id}-{secrets.token_hex(2)}"
    progress = WaveProgress(len(waves), sum(len(r.tickers) for r in requests))
    in_flight: set[Future[list[LandedTicker]]] = set()
    with ThreadPoolExecutor(_waves_in_flight(context)) as pool:
        while in_flight or _may_begin(context, waves, landing):
            while len(in_flight) < _waves_in_flight(context) and _may_begin(context, waves, landing):
                in_flight.add(pool.submit(_land_wave, context, waves.popleft(), asking))
            done, in_flight = wait(in_flight, timeout=_LOOK_AROUND_SECONDS, return_when=FIRST_COMPLETED)
            context.confirm_lock()
            if context.stopping.is_set():
                request_stop(context.database, asking)
            for future in done:
                landing.tickers += future.result()
                progress.log(landing)
    landing.hold = _held(context) if landing.is_rate_limited else None
    not_asked = _not_asked(requests, landing)
    landing.is_interrupted = bool(not_asked) and context.stopping.is_set()
    landing.tickers += not_asked
    if context.stopping.is_set():
        forget_stop(context.database, asking)
    return landing


def _may_begin(context: StageContext, waves: Sequence[object], landing: Landing) -> bool:
    return bool(waves) and not landing.is_rate_limited and not context.stopping.is_set()


def _waves_in_flight(context: StageContext) -> int:
    return 1 if context.request.one_at_a_time else _WAVES_IN_FLIGHT


def _not_asked(requests: Sequence[FetchRequest], landing: Landing) -> list[LandedTicker]:
    """List the tickers without an answer: of waves that were not begun, and of those that ended early."""
    is_limited = landing.is_rate_limited or landing.hold is not None
    outcome = Outcome.RATE_LIMITED if is_limited else NOT_ASKED
    message = "not asked after the rate limit" if is_limited else "the run was interrupted before"
    landed = {(t.kind, t.ticker) for t in landing.tickers}
    return [
        refused
        for request in requests
        for refused in without_request(request.kind, request.tickers, outcome, message)
        if (refused.kind, refused.ticker) not in landed
    ]


def _land_wave(context: StageContext, wave: Sequence[FetchRequest], asking: str) -> list[LandedTicker]:
    rows = [(r.kind.value, list(r.tickers), r.window_start, r.window_end) for r in wave]
    worker = functools.partial(
        answer_requests,
        config=_source_config(context),
        make_limiter=_make_limiter(context, asking),
        run_id=context.request.run_id,
    )
    asked = context.local_frame(rows, _REQUEST_SCHEMA).repartition(_workers(context, wave))
    landed = Observation()
    answers = asked.mapInPandas(worker, FETCHES).observe(landed, F.collect_list(_landed_columns()).alias("tickers"))
    # The append is the only action on these answers: any other would send every request again.
    context.staging.append(FETCHES_TABLE, answers)
    return [LandedTicker(**row.asDict()) for row in landed.get["tickers"]]


def _held(context: StageContext) -> tuple[dt.datetime, str] | None:
    """Until when the source must not be asked, and why; None where it may be."""
    if context.settings.data_origin == "synthetic":
        return None
    state = read_throttle(context.database, context.settings.source.name)
    return state.current_block(context.settings.fetch.daily_request_budget)


def _make_limiter(context: StageContext, asking: str) -> Callable[[], Limiter]:
    """What each worker gets its share of the one throttle from; pickled, so no log of Spark's shows the password."""
    fetch, source = context.settings.fetch, context.settings.source.name
    limits = FetchLimits(fetch.delay_seconds, fetch.daily_request_budget, fetch.rate_limit_pause_seconds)
    database = context.database.with_credentials()
    return functools.partial(limiter_of, database, source, limits, asking)


def payload_rows() -> Column:
    """Count the bars, holdings or quotes of a row of `fetches`."""
    return F.size("bars") + F.size("holdings") + F.col("quote").isNotNull().cast("int")


def _landed_columns() -> Column:
    columns = ("kind", "ticker", "outcome", "message", "raw_text", "requests", "snapshot_date")
    return F.struct(*columns, payload_rows().alias("rows"), F.size("left_out").alias("left_out"))


def _workers(context: StageContext, wave: Sequence[FetchRequest]) -> int:
    """A worker process costs a second to start, and a cookie and a crumb: only where there is work for it."""
    if context.request.one_at_a_time:
        return 1
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
        synthetic_leading_sectors=synthetic.leading_sectors,
        sessions=tuple(market_calendar.sessions_between(_SYNTHETIC_START, last)) if is_synthetic else (),
    )


def _wave_size(context: StageContext, requests: Sequence[FetchRequest]) -> int:
    """The synthetic market answers at once: there is nothing to lose between its waves."""
    if context.settings.source.name == "synthetic":
        return len(requests)
    return 1 if context.request.one_at_a_time else context.settings.fetch.wave_size


def _batches(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
