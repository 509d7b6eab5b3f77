"""The cache as a user sees it, and dropping tickers from it: that, too, only appends to staging."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from spark_app.errors import UsageError
from spark_app.ingestion.cache import FORGOTTEN, first_fresh_moment, last_fresh_moment
from spark_app.ingestion.progress import format_minutes
from spark_app.ingestion.waves import payload_rows
from spark_app.pipeline.preparation import prepare_staging
from spark_app.pipeline.run import Run
from spark_app.schemas import FETCHES
from spark_app.sources.contract import Outcome
from spark_app.sources.symbols import parse_ticker
from spark_app.storage.delta.staging import FETCHES_TABLE
from spark_app.storage.postgres.locks import tables_shared_lock
from spark_app.text_table import draw_table

logger = logging.getLogger(__name__)

_FORGOTTEN = StructType([StructField("kind", StringType()), StructField("ticker", StringType())])


def show_cache(run: Run) -> int:
    """Show what is cached, or drop what the request names from the cache; returns the exit code."""
    prepare_staging(run)
    cached, request = list_cache(run), run.request
    run.summary.findings["cache"] = [asdict(fetch) for fetch in cached]
    if not request.forget and not request.forget_all:
        logger.info("%s", draw_cache(run, cached))
        return 0
    with tables_shared_lock(run.database):
        forgotten = forget(run, cached, request.forget.split(",") if request.forget else None)
    logger.info("forgotten: %s", ", ".join(forgotten) or "nothing was cached")
    return 0


@dataclass(frozen=True)
class CachedFetch:
    """The newest fetch of one kind and ticker with data; `rows` bars, holdings or quotes."""

    kind: str
    ticker: str
    window_start: dt.date | None
    window_end: dt.date | None
    rows: int
    fetched_at: dt.datetime


def list_cache(run: Run) -> list[CachedFetch]:
    """List the newest fetch of each kind and ticker with data that was not dropped since."""
    values = ("fetched_at", "outcome", "window_start", "window_end")
    fetches = run.staging.read(FETCHES_TABLE).where(F.col("outcome").isin(Outcome.OK, FORGOTTEN))
    newest = fetches.groupBy("kind", "ticker").agg(
        F.max(F.struct(*values, payload_rows().alias("rows"))).alias("newest")
    )
    found = newest.where(F.col("newest.outcome") == Outcome.OK).orderBy("kind", "ticker").collect()
    return [
        CachedFetch(
            kind=row["kind"],
            ticker=row["ticker"],
            window_start=row["newest"]["window_start"],
            window_end=row["newest"]["window_end"],
            rows=row["newest"]["rows"],
            # Spark hands out naive times, in the zone of this process.
            fetched_at=row["newest"]["fetched_at"].astimezone(dt.UTC),
        )
        for row in found
    ]


def draw_cache(run: Run, cached: Sequence[CachedFetch]) -> str:
    """Draw what is cached, its age, and whether a run for this session would use it."""
    if not cached:
        return "Nothing is cached."
    fresh_from, fresh_until = first_fresh_moment(run), last_fresh_moment()
    rows = [
        (
            fetch.ticker,
            fetch.kind,
            f"{fetch.window_start} to {fetch.window_end}" if fetch.window_start else "",
            f"{fetch.rows:,}",
            f"{fetch.fetched_at:%Y-%m-%d %H:%M} UTC",
            format_minutes((run.request.now - fetch.fetched_at).total_seconds()),
            "yes" if fresh_from <= fetch.fetched_at <= fresh_until else "no",
        )
        for fetch in cached
    ]
    return draw_table(("ticker", "kind", "window", "rows", "fetched", "age", "fresh"), rows, right={3, 5})


def forget(run: Run, cached: Sequence[CachedFetch], tickers: Sequence[str] | None) -> list[str]:
    """Drop the fetches of `tickers`, None for all, from the cache; returns the tickers that had any.

    The staged bars, holdings and quotes are kept, and so are the landed fetches.
    Raises: UsageError: a ticker that is none, or of which nothing is cached.
    """
    named = None if tickers is None else {parse_ticker(ticker) for ticker in tickers}
    if named is not None and (unknown := sorted(named - {fetch.ticker for fetch in cached})):
        raise UsageError(f"nothing is cached of {', '.join(unknown)}")
    chosen = [fetch for fetch in cached if named is None or fetch.ticker in named]
    if chosen:
        _append_forgotten(run, chosen)
    return sorted({fetch.ticker for fetch in chosen})


def _append_forgotten(run: Run, chosen: Sequence[CachedFetch]) -> None:
    request = run.request
    given = {"outcome": FORGOTTEN, "requests": 0, "seconds": 0.0, "run_id": request.run_id, "source": "user"}
    given |= {"fetched_at": request.now}
    named = run.frame([(fetch.kind, fetch.ticker) for fetch in chosen], _FORGOTTEN)
    others = [F.lit(given.get(f.name)).cast(f.dataType).alias(f.name) for f in FETCHES if f.name not in named.columns]
    run.staging.append(FETCHES_TABLE, named.select("*", *others))
