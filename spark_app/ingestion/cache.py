"""The cache: fetches of earlier runs in staging that are still fresh.

A fetch is fresh while it is not older than `fetch.cache_hours`, was made after the close of the as-of session, and
covers the window that is asked for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import DateType

from spark_app import market_calendar
from spark_app.ingestion.current import is_plausible_quote
from spark_app.ingestion.landing import LandedTicker, Landing
from spark_app.pipeline.run import Run
from spark_app.sources.contract import FetchRequest, Kind, Outcome
from spark_app.storage.delta.staging import BARS_TABLE, FETCHES_TABLE, QUOTES_TABLE

FORGOTTEN = "forgotten"
"""The outcome of a row of `fetches` that drops the earlier fetches of its ticker from the cache."""

# An unknown ticker is an answer, too: asking again would cost the same request.
_ANSWERS = (Outcome.OK, Outcome.NOT_FOUND)
_COLUMNS = ("kind", "outcome", "message", "window_start", "window_end", "snapshot_date", "fetched_at")


@dataclass(frozen=True)
class Known:
    """What staging knows of some tickers.

    `first_bars` are the dates of their earliest bars, `first_days` of their earliest bars or quotes, `first_asked`
    the earliest sessions that a fetched chart covers. `fetches` are the fresh rows of that table without their payload,
    by kind and ticker, the newest first.
    """

    first_bars: Mapping[str, dt.date]
    first_days: Mapping[str, dt.date]
    first_asked: Mapping[str, dt.date]
    fetches: Mapping[tuple[str, str], Sequence[Row]]

    def cached(self, requests: Sequence[FetchRequest]) -> Landing:
        """Return the outcomes that fresh fetches give for the tickers of `requests`."""
        wanted = (self._fresh(request, ticker) for request in requests for ticker in request.tickers)
        return Landing([_as_landed(row) for row in wanted if row is not None])

    def _fresh(self, request: FetchRequest, ticker: str) -> Row | None:
        for row in self.fetches.get((request.kind, ticker), ()):
            if row["outcome"] == FORGOTTEN:
                return None
            if _covers(row, request):
                return row
        return None


def read_known(run: Run, tickers: Sequence[str], kinds: Iterable[Kind]) -> Known:
    """Read what staging knows of `tickers`, in one query; with `--refresh` no fetch is fresh."""
    kinds = list(kinds)
    # Only charts ask for the dates that are known of a ticker.
    if run.request.refresh and Kind.CHART not in kinds:
        return Known({}, {}, {}, {})
    rows = _known_rows(run, tickers, kinds).collect()
    fetches: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        for fetch in sorted(row["fetches"], key=lambda fetch: fetch["fetched_at"], reverse=True):
            fetches.setdefault((fetch["kind"], row["ticker"]), []).append(fetch)
    first_bars, first_days, first_asked = (
        {row["ticker"]: row[name] for row in rows if row[name] is not None}
        for name in ("first_bar", "first_day", "first_asked")
    )
    return Known(first_bars, first_days, first_asked, fetches)


def _known_rows(run: Run, tickers: Sequence[str], kinds: list[Kind]) -> DataFrame:
    is_fresh = F.col("outcome").isin(*_ANSWERS, FORGOTTEN) & _is_recent(run)
    is_chart = (F.col("kind") == Kind.CHART) & (F.col("outcome") == Outcome.OK)
    fetch = F.struct(*_COLUMNS, "ticker", F.size("left_out").alias("left_out"))
    no_day = F.lit(None).cast(DateType())
    known = (
        run.staging.read(FETCHES_TABLE)
        .where(F.col("kind").isin(kinds) & (is_fresh | is_chart))
        .select(
            "ticker",
            no_day.alias("bar_day"),
            no_day.alias("quote_day"),
            F.when(is_chart, F.col("window_start")).alias("asked_day"),
            F.when(is_fresh, fetch).alias("fetch"),
        )
    )
    no_fetch = F.lit(None).cast(known.schema["fetch"].dataType)
    if Kind.CHART in kinds:
        bars, quotes = run.staging.read(BARS_TABLE), run.staging.read(QUOTES_TABLE).where(is_plausible_quote())
        known = known.unionAll(bars.select("ticker", "trade_date", no_day, no_day, no_fetch))
        known = known.unionAll(quotes.select("ticker", no_day, "quote_date", no_day, no_fetch))
    wanted = known.where(F.col("ticker").isin(list(tickers)))
    return wanted.groupBy("ticker").agg(
        F.min("bar_day").alias("first_bar"),
        F.min(F.least("bar_day", "quote_day")).alias("first_day"),
        F.min("asked_day").alias("first_asked"),
        F.collect_list("fetch").alias("fetches"),
    )


def first_fresh_moment(run: Run) -> dt.datetime:
    """Return the moment from which on a fetch is fresh for the as-of session."""
    too_old = run.request.now - dt.timedelta(hours=run.settings.fetch.cache_hours)
    return max(too_old, market_calendar.close_of(run.as_of))


def _is_recent(run: Run) -> Column:
    if run.request.refresh:
        return F.lit(False)
    return F.col("fetched_at") >= F.lit(first_fresh_moment(run))


def _covers(row: Row, request: FetchRequest) -> bool:
    if request.kind != Kind.CHART:
        return True
    return bool(row["window_start"] <= request.window_start and row["window_end"] >= request.window_end)


def _as_landed(row: Row) -> LandedTicker:
    columns = ("kind", "ticker", "outcome", "message", "snapshot_date", "left_out")
    return LandedTicker(**{name: row[name] for name in columns}, is_cached=True)
