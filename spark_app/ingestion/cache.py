"""The cache: fetches of earlier runs in staging that are still fresh.

A fetch is fresh while it is not older than `fetch.cache_hours`, was made after the close of the as-of session but not
in the future, and covers the window that is asked for. That there is no data is cached where it is believed
(absence.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from spark_app import market_calendar
from spark_app.ingestion.absence import CONFIRMING_DAYS, confirmed_absences, confirming_days
from spark_app.ingestion.current import is_plausible_quote
from spark_app.ingestion.landing import LandedTicker, Landing
from spark_app.pipeline.run import Run
from spark_app.sources.contract import ABSENT, CLOCK_TOLERANCE, FetchRequest, Kind, Outcome, utc_now
from spark_app.storage.delta.staging import BARS_TABLE, FETCHES_TABLE, QUOTES_TABLE
from spark_app.transforms.current import fetched_on

FORGOTTEN = "forgotten"
"""The outcome of a row of `fetches` that drops the earlier fetches of its ticker from the cache."""

_ANSWERS = (Outcome.OK, *ABSENT)
_COLUMNS = ("kind", "outcome", "message", "window_start", "window_end", "snapshot_date", "fetched_at", "source")


@dataclass(frozen=True)
class Known:
    """What staging knows of some tickers.

    `first_bars` and `last_bars` are the dates of their earliest and newest bars, `first_days` of their earliest bars or
    quotes, `first_asked` the earliest sessions that a fetched chart covers. `fetches` are the fresh rows of that table
    without their payload, by kind and ticker, the newest first; `absent_on` the days (New York) on which the source
    had no data, since it last had some or the ticker was forgotten. `confirming_days` of them are needed to believe it.
    `holdings_provider` is whose snapshots are asked for, None where there is but one source.
    """

    first_bars: Mapping[str, dt.date]
    first_days: Mapping[str, dt.date]
    first_asked: Mapping[str, dt.date]
    fetches: Mapping[tuple[str, str], Sequence[Row]]
    last_bars: Mapping[str, dt.date] = field(default_factory=dict)
    absent_on: Mapping[tuple[str, str], frozenset[dt.date]] = field(default_factory=dict)
    confirming_days: int = CONFIRMING_DAYS
    holdings_provider: str | None = None

    def cached(self, requests: Sequence[FetchRequest]) -> Landing:
        """Return the outcomes that fresh fetches give for the tickers of `requests`, all of one kind."""
        wanted = [(request, ticker) for request in requests for ticker in request.tickers]
        keys = [(request.kind, ticker) for request, ticker in wanted]
        absent_on = {key[1]: self.absent_on[key] for key in keys if key in self.absent_on}
        confirmed = confirmed_absences(absent_on, len(wanted), self.confirming_days)
        fresh = (self._fresh(request, ticker, is_absent=ticker in confirmed) for request, ticker in wanted)
        return Landing([_as_landed(row) for row in fresh if row is not None])

    def _fresh(self, request: FetchRequest, ticker: str, *, is_absent: bool) -> Row | None:
        for row in self.fetches.get((request.kind, ticker), ()):
            if row["outcome"] == FORGOTTEN:
                return None
            if self._answers(row, request) and (is_absent or row["outcome"] not in ABSENT):
                return row
        return None

    def _answers(self, row: Row, request: FetchRequest) -> bool:
        """Whether the fetch covers what is asked for, and comes from the provider that is asked."""
        if request.kind == Kind.CHART:
            return bool(row["window_start"] <= request.window_start and row["window_end"] >= request.window_end)
        return request.kind != Kind.HOLDINGS or self.holdings_provider in (None, row["source"])


def read_known(run: Run, tickers: Sequence[str], kinds: Iterable[Kind]) -> Known:
    """Read what staging knows of `tickers`, in one query; with `--refresh` no fetch is fresh."""
    kinds, needed = list(kinds), confirming_days(run.as_of, run.request.now)
    # Only charts ask for the dates that are known of a ticker.
    if run.request.refresh and Kind.CHART not in kinds:
        return Known({}, {}, {}, {}, confirming_days=needed)
    rows = _known_rows(run, tickers, kinds).collect()
    fetches: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        for fetch in sorted(row["fetches"], key=lambda fetch: fetch["fetched_at"], reverse=True):
            fetches.setdefault((fetch["kind"], row["ticker"]), []).append(fetch)
    first_bars, first_days, first_asked, last_bars = (
        {row["ticker"]: row[name] for row in rows if row[name] is not None}
        for name in ("first_bar", "first_day", "first_asked", "last_bar")
    )
    absent_on = {
        (kind, row["ticker"]): days for row in rows for kind, days in absent_days(row["absences"], row["data"]).items()
    }
    provider = run.settings.source.holdings_provider if run.settings.data_origin == "real" else None
    return Known(first_bars, first_days, first_asked, fetches, last_bars, absent_on, needed, provider)


def absent_days(absences: Sequence[Row], data: Sequence[Row]) -> dict[str, frozenset[dt.date]]:
    """Kind -> the days on which there was no data of one ticker, since there last was some.

    Args:
        absences: kind, fetched_at, fetched_on of the answers without data.
        data: kind, fetched_at of the newest one with data of each kind.
    """
    last_data = {row["kind"]: row["fetched_at"] for row in data}
    days: dict[str, set[dt.date]] = {}
    for absence in absences:
        kind = absence["kind"]
        if kind not in last_data or absence["fetched_at"] > last_data[kind]:
            days.setdefault(kind, set()).add(absence["fetched_on"])
    return {kind: frozenset(found) for kind, found in days.items()}


def _known_rows(run: Run, tickers: Sequence[str], kinds: list[Kind]) -> DataFrame:
    is_answer = F.col("outcome").isin(*_ANSWERS, FORGOTTEN)
    is_fresh = is_answer & _is_recent(run)
    is_chart = (F.col("kind") == Kind.CHART) & (F.col("outcome") == Outcome.OK)
    quote_date = F.col("quote.quote_date").alias("quote_date")
    fetch = F.struct(*_COLUMNS, "ticker", F.size("left_out").alias("left_out"), quote_date)
    absence = F.struct("kind", "fetched_at", fetched_on().alias("fetched_on"))
    is_absent = F.col("outcome").isin(*ABSENT)
    no_day = F.lit(None).cast("date")
    known = (
        run.staging.read(FETCHES_TABLE)
        .where(F.col("kind").isin(kinds) & is_answer)
        .select(
            "ticker",
            no_day.alias("bar_day"),
            no_day.alias("quote_day"),
            F.when(is_chart, F.col("window_start")).alias("asked_day"),
            F.when(is_fresh, fetch).alias("fetch"),
            F.when(is_absent, absence).alias("absence"),
            F.when(~is_absent, F.struct("kind", "fetched_at")).alias("data"),
        )
    )
    empty = [F.lit(None).cast(known.schema[name].dataType) for name in ("fetch", "absence", "data")]
    if Kind.CHART in kinds:
        bars, quotes = run.staging.read(BARS_TABLE), run.staging.read(QUOTES_TABLE).where(is_plausible_quote())
        known = known.unionAll(bars.select("ticker", "trade_date", no_day, no_day, *empty))
        known = known.unionAll(quotes.select("ticker", no_day, "quote_date", no_day, *empty))
    wanted = known.where(F.col("ticker").isin(list(tickers)))
    return wanted.groupBy("ticker").agg(
        F.min("bar_day").alias("first_bar"),
        F.max("bar_day").alias("last_bar"),
        F.min(F.least("bar_day", "quote_day")).alias("first_day"),
        F.min("asked_day").alias("first_asked"),
        F.collect_list("fetch").alias("fetches"),
        F.collect_list("absence").alias("absences"),
        F.array_compact(F.array(*[_newest_of("data", kind) for kind in kinds])).alias("data"),
    )


def _newest_of(name: str, kind: Kind) -> Column:
    return F.max(F.when(F.col(f"{name}.kind") == kind, F.col(name)))


def first_fresh_moment(run: Run) -> dt.datetime:
    """Return the moment from which on a fetch is fresh for the as-of session."""
    too_old = run.request.now - dt.timedelta(hours=run.settings.fetch.cache_hours)
    return max(too_old, market_calendar.close_of(run.as_of))


def last_fresh_moment() -> dt.datetime:
    """Return the moment after which a fetch is of the future: a clock was wrong, and nobody knows when it was made."""
    return utc_now() + CLOCK_TOLERANCE


def _is_recent(run: Run) -> Column:
    if run.request.refresh:
        return F.lit(False)
    return F.col("fetched_at").between(F.lit(first_fresh_moment(run)), F.lit(last_fresh_moment()))


def _as_landed(row: Row) -> LandedTicker:
    columns = ("kind", "ticker", "outcome", "message", "snapshot_date", "left_out", "window_start", "quote_date")
    return LandedTicker(**{name: row[name] for name in columns}, is_cached=True)
