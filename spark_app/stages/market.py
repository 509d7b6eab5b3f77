"""What stages 3, 4 and 5 derive from staging alike: the sectors' trends and the funds' members."""

from __future__ import annotations

import datetime as dt
import functools
import threading
from collections.abc import Sequence

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from spark_app import market_calendar
from spark_app.errors import DataIncompleteError
from spark_app.ingestion.staging_rows import read_bars, read_holdings
from spark_app.pipeline.context import StageContext
from spark_app.schemas import TRENDING_SECTORS
from spark_app.transforms.holdings import sector_memberships
from spark_app.transforms.returns import PERIODS, UnavailableCode
from spark_app.transforms.trends import sector_trends
from spark_app.universe import BENCHMARK, FUNDS

_LONGEST = max(PERIODS) + 1
_NO_BENCHMARK = (UnavailableCode.NO_BAR_AT_END, UnavailableCode.NO_USABLE_PRICE_AT_END)
_computing_trends = threading.Lock()
"""Stages 3 and 4 ask at the same time: the second waits for what the first computes."""


def trend_sessions(context: StageContext) -> DataFrame:
    """The sessions that the longest returns up to the as-of dates span: trade_date, session_number."""
    return context.numbered_sessions(_trend_dates(context))


def _trend_dates(context: StageContext) -> list[dt.date]:
    first = market_calendar.sessions_ending(context.all_as_of[0], _LONGEST)[0]
    return market_calendar.sessions_between(first, context.as_of)


def read_sector_trends(context: StageContext) -> tuple[Row, ...]:
    """Compute the trends of the as-of session; rows of schemas.SECTOR_TRENDS.

    Raises: DataIncompleteError: the benchmark has no bar on the as-of session, so nothing can be compared.
    """
    with _computing_trends:
        return _sector_trends(context)


# The stages of one run share what is read here: nothing that a later stage fetches changes it.
@functools.lru_cache(maxsize=1)
def _sector_trends(context: StageContext) -> tuple[Row, ...]:
    trends = tuple(trends_of(context).collect())
    if not with_benchmark(trends):
        raise DataIncompleteError(f"no bars for {BENCHMARK} up to {context.as_of}: run stage 1 first")
    return trends


def trends_of(context: StageContext) -> DataFrame:
    """The trends of all as-of dates; schemas.SECTOR_TRENDS."""
    bars = read_bars(context, _trend_dates(context)[0], context.as_of)
    fund_bars = bars.where(F.col("ticker").isin(list(FUNDS)))
    return sector_trends(fund_bars, trend_sessions(context), context.as_of_dates())


def with_benchmark(trends: Sequence[Row]) -> list[dt.date]:
    """List the as-of dates on which the benchmark has a usable price: of the others nothing can be said."""
    return sorted({row["as_of_date"] for row in trends if row["benchmark_unavailable_code"] not in _NO_BENCHMARK})


def served_trends(trends: Sequence[Row]) -> list[tuple[object, ...]]:
    """The rows of schemas.TRENDING_SECTORS less run_id: the codes are not served."""
    return [tuple(row[name] for name in TRENDING_SECTORS.computed_schema.fieldNames()) for row in trends]


@functools.lru_cache(maxsize=1)
def read_members(context: StageContext) -> tuple[Row, ...]:
    """Compute which stock belongs to which sector fund on the as-of session; rows as of `sector_memberships`.

    Raises: DataIncompleteError: no sector fund has holdings.
    """
    members = sector_memberships(read_holdings(context), context.as_of_dates()).collect()
    if not members:
        raise DataIncompleteError(f"no holdings of any sector fund for {context.as_of}: run stage 2 first")
    return tuple(members)


def describe_stand_ins(context: StageContext, members: Sequence[Row]) -> str:
    """Say which later snapshots stand in for those that are not known, "" where none does."""
    later = sorted({str(row["snapshot_date"]) for row in members if row["is_look_ahead"]})
    return f"holdings of {', '.join(later)} stand in for {context.as_of}" if later else ""


def describe_trending(trends: Sequence[Row], sessions: int) -> str:
    """Name the sectors that trend over a period."""
    names = [row["etf_ticker"] for row in trends if row["period_days"] == sessions and row["is_trending"]]
    return f"{len(names)} trend over {sessions} sessions" + (f" ({', '.join(sorted(names))})" if names else "")
