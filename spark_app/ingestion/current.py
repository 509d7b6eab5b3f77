"""Reading staging: the current rows of each table, and the fetches that are to be staged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_app.market_calendar import FIRST_SESSION
from spark_app.pipeline.run import Run
from spark_app.sources.contract import Kind
from spark_app.storage.delta.staging import BARS_TABLE, HOLDINGS_TABLE, INDEX_MEMBERSHIP_TABLE, QUOTES_TABLE
from spark_app.transforms.current import current_bars, current_holdings, current_index_membership, current_quotes

PROVENANCE = ("fetched_at", "run_id", "source")


def read_bars(run: Run, first: dt.date | None = None, last: dt.date | None = None) -> DataFrame:
    """Read the current bars from session `first` to session `last`; columns as schemas.BARS."""
    bars = run.staging.read(BARS_TABLE)
    if first is not None:
        bars = bars.where(F.col("trade_date") >= first)
    if last is not None:
        bars = bars.where(F.col("trade_date") <= last)
    return current_bars(bars)


def read_holdings(run: Run) -> DataFrame:
    """Read the current snapshots; columns as schemas.HOLDINGS."""
    return current_holdings(run.staging.read(HOLDINGS_TABLE))


def read_quotes(run: Run) -> DataFrame:
    """Read the current quotes of plausible dates; columns as schemas.QUOTES."""
    return current_quotes(run.staging.read(QUOTES_TABLE).where(is_plausible_quote()))


def read_index_membership(run: Run) -> DataFrame | None:
    """Read who was in the index when: ticker, start_date, end_date; None where no such file was imported.

    `end_date` is the first day on which the stock was no longer in the index, null where it still is. A ticker has a
    row for each time.
    """
    memberships = current_index_membership(run.staging.read(INDEX_MEMBERSHIP_TABLE))
    return None if memberships.isEmpty() else memberships.select("ticker", "start_date", "end_date")


def is_plausible_quote() -> Column:
    """Whether a quote is of no session before the benchmark's first, and of no day after its fetch but the next.

    The sources refuse any other; version 0.1.0 staged them.
    """
    day_after = F.date_add(F.to_date("fetched_at"), 1)
    return (F.col("quote_date") >= FIRST_SESSION) & (F.col("quote_date") <= day_after)


def fetches_to_stage(run: Run, kind: Kind, runs: Sequence[str] = ()) -> DataFrame:
    """Read what this run fetched of one kind, or what other `runs` did; columns as schemas.FETCHES."""
    return run.staging.fetches_of(runs or [run.request.run_id], kind)
