"""What the stages that fetch find with `--source files`: the answers are what was imported, and nothing is asked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pyspark.sql import Row
from pyspark.sql import functions as F

from spark_app.ingestion.feeds import Feed
from spark_app.ingestion.landing import LandedTicker, Landing
from spark_app.market_calendar import FIRST_SESSION
from spark_app.pipeline.run import Run
from spark_app.sources.contract import Kind, Outcome
from spark_app.storage.delta.staging import BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE

_TABLES = {
    Kind.CHART: (BARS_TABLE, "ticker", "trade_date"),
    Kind.HOLDINGS: (HOLDINGS_TABLE, "etf_ticker", "snapshot_date"),
    Kind.QUOTE: (QUOTES_TABLE, "ticker", "quote_date"),
}
_NO_DATA = "the imported files have no %s of it"
_NAMES = {Kind.CHART: "bars up to the as-of session", Kind.HOLDINGS: "holdings", Kind.QUOTE: "quotes"}


def staged_answers(run: Run, feeds: Sequence[Feed]) -> Landing:
    """Answer from staging: bars up to the as-of session, the snapshot and the quote as of it.

    The newest snapshot or quote not after the as-of session counts, else the earliest after it.
    """
    return Landing([answer for feed in feeds for answer in _answers(run, feed)])


def _answers(run: Run, feed: Feed) -> list[LandedTicker]:
    table, key, date = _TABLES[feed.kind]
    is_known = F.col(date) <= run.as_of
    rows = (
        run.staging.read(table)
        .where(F.col(key).isin(list(feed.tickers)))
        .groupBy(F.col(key).alias("ticker"))
        .agg(
            F.max(F.when(is_known, F.col(date))).alias("known"),
            F.min(F.when(~is_known, F.col(date))).alias("later"),
        )
        .collect()
    )
    found = {row["ticker"]: row for row in rows}
    return [_answer(feed.kind, ticker, found.get(ticker)) for ticker in feed.tickers]


def _answer(kind: Kind, ticker: str, row: Row | None) -> LandedTicker:
    day: dt.date | None = None
    if row is not None:
        day = row["known"] if kind == Kind.CHART else row["known"] or row["later"]
    if day is None:
        return LandedTicker(kind, ticker, Outcome.NO_DATA, _NO_DATA % _NAMES[kind], is_cached=True)
    return LandedTicker(
        kind,
        ticker,
        Outcome.OK,
        is_cached=True,
        # Files are the whole history: a ticker whose bars begin later was listed then.
        window_start=FIRST_SESSION if kind == Kind.CHART else None,
        snapshot_date=day if kind == Kind.HOLDINGS else None,
        quote_date=day if kind == Kind.QUOTE else None,
    )
