"""Sending requests through Spark's workers and landing every answer in staging, wave by wave."""

from __future__ import annotations

import datetime as dt
import functools
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DateType, StringType, StructField, StructType

from spark_app import market_calendar
from spark_app.ingestion.landing import NOT_ASKED, LandedTicker, Landing, without_request
from spark_app.ingestion.progress import announce, progress_of
from spark_app.pipeline.run import Run
from spark_app.schemas import FETCHES
from spark_app.sources.contract import FetchRequest, Limiter, Outcome, SourceConfig
from spark_app.sources.worker import answer_requests
from spark_app.storage.delta.staging import FETCHES_TABLE
from spark_app.storage.postgres.limiter import FetchLimits, limiter_of
from spark_app.storage.postgres.throttle import forget_stop, read_throttle, request_stop
from spark_app.transforms.current import fetched_on
from spark_app.universe import FIRST_SYNTHETIC_SESSION

_T = TypeVar("_T")

_REQUESTS_PER_WORKER = 16
_WAVES_IN_FLIGHT = 2
_LOOK_AROUND_SECONDS = 0.2
_REQUEST_SCHEMA = StructType(
    [
        StructField("kind", StringType()),
        StructField("tickers", ArrayType(StringType())),
        StructField("window_start", DateType()),
        StructField("window_end", DateType()),
    ]
)


def land(run: Run, requests: Sequence[FetchRequest]) -> Landing:
    """Send all requests; each wave lands in `fetches` by one atomic append.

    The next wave is sent while one is committed. After a rate limit, or where the run is to stop, no wave begins; what
    was not sent is listed as such.
    """
    landing = Landing(blocked=_blocked(run) if requests else None)
    if landing.blocked or not requests:
        landing.tickers += _not_asked(requests, landing)
        return landing
    run.staging.ensure(FETCHES_TABLE)
    waves = deque(batches(requests, _wave_size(run, requests)))
    asking = f"{run.request.run_id}-{secrets.token_hex(2)}"
    if run.settings.data_origin == "real":
        announce(len(requests), run.settings.fetch.delay_seconds)
    in_flight: dict[Future[list[LandedTicker]], int] = {}
    showing = progress_of(len(waves), len(requests), functools.partial(_sent_today, run))
    with showing as progress, ThreadPoolExecutor(_waves_in_flight(run)) as pool:
        while in_flight or _may_begin(run, waves, landing):
            while len(in_flight) < _waves_in_flight(run) and _may_begin(run, waves, landing):
                wave = waves.popleft()
                in_flight[pool.submit(_land_wave, run, wave, asking)] = len(wave)
            done, _ = wait(in_flight, timeout=_LOOK_AROUND_SECONDS, return_when=FIRST_COMPLETED)
            run.confirm_lock()
            if run.stopping.is_set():
                request_stop(run.database, asking)
            for future in done:
                landing.tickers += future.result()
                progress.wave_done(in_flight.pop(future), landing)
            progress.wait(sum(in_flight.values()))
    landing.blocked = _blocked(run) if landing.is_rate_limited else None
    not_asked = _not_asked(requests, landing)
    landing.is_interrupted = bool(not_asked) and run.stopping.is_set()
    landing.tickers += not_asked
    if run.stopping.is_set():
        forget_stop(run.database, asking)
    return landing


def _may_begin(run: Run, waves: Sequence[object], landing: Landing) -> bool:
    return bool(waves) and not landing.is_rate_limited and not run.stopping.is_set()


def _waves_in_flight(run: Run) -> int:
    return 1 if run.request.one_at_a_time else _WAVES_IN_FLIGHT


def _not_asked(requests: Sequence[FetchRequest], landing: Landing) -> list[LandedTicker]:
    """List the tickers without an answer: of waves that were not begun, and of those that ended early."""
    is_limited = landing.is_rate_limited or landing.blocked is not None
    outcome = Outcome.RATE_LIMITED if is_limited else NOT_ASKED
    message = "not asked after the rate limit" if is_limited else "the run was interrupted before"
    landed = {(t.kind, t.ticker) for t in landing.tickers}
    return [
        refused
        for request in requests
        for refused in without_request(request.kind, request.tickers, outcome, message)
        if (refused.kind, refused.ticker) not in landed
    ]


def _land_wave(run: Run, wave: Sequence[FetchRequest], asking: str) -> list[LandedTicker]:
    rows = [(r.kind.value, list(r.tickers), r.window_start, r.window_end) for r in wave]
    worker = functools.partial(
        answer_requests,
        config=source_config(run),
        make_limiter=_make_limiter(run, asking),
        run_id=run.request.run_id,
    )
    asked = run.frame(rows, _REQUEST_SCHEMA).repartition(_workers(run, wave))
    landed = Observation()
    answers = asked.mapInPandas(worker, FETCHES).observe(landed, F.collect_list(_landed_columns()).alias("tickers"))
    # The append is the only action on these answers: any other would send every request again.
    run.staging.append(FETCHES_TABLE, answers)
    return [LandedTicker(**row.asDict()) for row in landed.get["tickers"]]


def _blocked(run: Run) -> tuple[dt.datetime, str] | None:
    """Until when the source must not be asked, and why; None where it may be."""
    if run.settings.data_origin == "synthetic":
        return None
    state = read_throttle(run.database, run.settings.source.name)
    return state.current_block(run.settings.fetch.daily_request_budget)


def _sent_today(run: Run) -> int:
    return read_throttle(run.database, run.settings.source.name).requests_today


def _make_limiter(run: Run, asking: str) -> Callable[[], Limiter]:
    """Return what makes a worker's limiter; it is pickled, so that no log of Spark shows the password."""
    fetch, source = run.settings.fetch, run.settings.source.name
    limits = FetchLimits(fetch.delay_seconds, fetch.daily_request_budget, fetch.rate_limit_pause_seconds)
    database = run.database.with_credentials()
    return functools.partial(limiter_of, database, source, limits, asking)


def payload_rows() -> Column:
    """Count the bars, holdings or quotes of a row of `fetches`."""
    return F.size("bars") + F.size("holdings") + F.col("quote").isNotNull().cast("int")


def read_landings(fetches: DataFrame) -> dict[str, Landing]:
    """Read what was landed, by run; columns in as schemas.FETCHES."""
    landings: dict[str, Landing] = {}
    for run_id, row in fetches.select("run_id", _landed_columns()).collect():
        landings.setdefault(run_id, Landing()).tickers.append(LandedTicker(**row.asDict()))
    return landings


def _landed_columns() -> Column:
    columns = (
        "kind",
        "ticker",
        "outcome",
        "message",
        "raw_text",
        "requests",
        "snapshot_date",
        "window_start",
        "source",
    )
    counted = (payload_rows().alias("rows"), F.size("left_out").alias("left_out"))
    fetched = (fetched_on().alias("fetched_on"), F.unix_micros("fetched_at").alias("fetched_micros"))
    bar_dates, quote_date = F.col("bars.trade_date"), F.col("quote.quote_date")
    dated = (
        quote_date.alias("quote_date"),
        F.coalesce(F.array_min(bar_dates), "snapshot_date", quote_date).alias("first_date"),
        F.coalesce(F.array_max(bar_dates), "snapshot_date", quote_date).alias("last_date"),
    )
    return F.struct(*columns, *counted, *fetched, *dated)


def _workers(run: Run, wave: Sequence[FetchRequest]) -> int:
    """Each worker process costs a second, a cookie and a crumb: one per 16 requests."""
    if run.request.one_at_a_time:
        return 1
    return min(run.spark.sparkContext.defaultParallelism, 1 + len(wave) // _REQUESTS_PER_WORKER)


def source_config(run: Run) -> SourceConfig:
    """What the workers of this run need to build the source."""
    source, synthetic, calendar = run.settings.source, run.settings.synthetic, run.settings.calendar
    is_synthetic = source.name == "synthetic"
    last = market_calendar.last_completed_session(run.request.now)
    return SourceConfig(
        name=source.name,
        endpoint=source.endpoint,
        holdings_provider=source.holdings_provider,
        holdings_url=source.holdings_url,
        timeout_seconds=source.timeout_seconds,
        max_retries=run.settings.fetch.max_retries,
        skipped_holdings_percent=run.settings.gate.skipped_holdings_percent,
        synthetic_seed=synthetic.seed,
        synthetic_stocks_per_sector=synthetic.stocks_per_sector,
        synthetic_leading_sectors=synthetic.leading_sectors,
        sessions=tuple(market_calendar.sessions_between(FIRST_SYNTHETIC_SESSION, last)) if is_synthetic else (),
        closures=calendar.closures,
        extra_sessions=calendar.extra_sessions,
    )


def _wave_size(run: Run, requests: Sequence[FetchRequest]) -> int:
    """The synthetic market answers at once: one wave."""
    if run.settings.source.name == "synthetic":
        return len(requests)
    return 1 if run.request.one_at_a_time else run.settings.fetch.wave_size


def batches(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
