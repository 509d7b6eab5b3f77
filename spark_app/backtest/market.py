"""The prices of a backtest: whether there are enough of them, and those that are traded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_app.backtest.engine import Numbers, Prices
from spark_app.backtest.plan import Plan
from spark_app.backtest.schedule import Schedule
from spark_app.config.installation import collecting_command
from spark_app.config.settings import DataOrigin
from spark_app.errors import DataIncompleteError
from spark_app.transforms.prices import usable_price

_SHOWN = 3


@dataclass(frozen=True)
class Coverage:
    """The usable prices of one ticker."""

    first: dt.date
    last: dt.date
    sessions: int


def read_coverage(bars: DataFrame, tickers: Sequence[str]) -> dict[str, Coverage]:
    """Count the usable prices of each ticker that has any.

    Columns in: ticker, trade_date, adj_close_price.
    """
    usable = bars.where(F.col("ticker").isin(list(tickers)) & usable_price(F.col("adj_close_price")).isNotNull())
    counted = usable.groupBy("ticker").agg(
        F.min("trade_date").alias("first"), F.max("trade_date").alias("last"), F.count("*").alias("sessions")
    )
    return {row["ticker"]: Coverage(row["first"], row["last"], row["sessions"]) for row in counted.collect()}


def require_prices(plan: Plan, schedule: Schedule, coverage: Mapping[str, Coverage], origin: DataOrigin) -> None:
    """Refuse a backtest that the prices cannot answer.

    Raises: DataIncompleteError: prices of a fund are missing, begin too late or end too early; says what to do.
    """
    universe, needed = plan.universe, schedule.all_sessions
    missing = [ticker for ticker in universe.tickers if ticker not in coverage]
    job = f"backfill_etf_benchmarks {asked_sessions(schedule)}"
    if missing:
        raise DataIncompleteError(f"no prices of {_named(missing)} are staged: {how_to_get(job, origin)}")
    benchmark = coverage[universe.benchmark]
    if benchmark.last < needed[-1]:
        raise DataIncompleteError(
            f"prices of {universe.benchmark} end {benchmark.last}: use --to {benchmark.last}, or collect newer ones"
        )
    listed = {ticker: universe.first_sessions.get(ticker, coverage[ticker].first) for ticker in universe.sectors}
    begins = {ticker: max(needed[0], day) for ticker, day in listed.items()} | {universe.benchmark: needed[0]}
    late = [ticker for ticker in universe.tickers if coverage[ticker].first > begins[ticker]]
    if late:
        first, before = max(coverage[ticker].first for ticker in late), len(schedule.warm_up) + 1
        ways = how_to_get(job, origin)
        if sum(session > first for session in needed) > before:
            ways += f", or use a --from that is {before} sessions after {first}"
        raise DataIncompleteError(
            f"{len(needed):,} sessions of prices are needed, from {needed[0]} to {needed[-1]}, but those of"
            f" {_named(late)} begin {first}: {ways}"
        )


def read_prices(bars: DataFrame, sessions: Sequence[dt.date], tickers: Sequence[str]) -> Prices:
    """Read the prices of some tickers, adjusted for splits and dividends.

    Columns in: ticker, trade_date, adj_close_price; open_price and close_price where there are opens.
    """
    close = usable_price(F.col("adj_close_price"))
    has_opens = {"open_price", "close_price"} <= set(bars.columns)
    # The open is adjusted for splits only.
    factor = close / usable_price(F.col("close_price")) if has_opens else F.lit(None).cast("double")
    opened = usable_price(F.col("open_price")) * factor if has_opens else F.lit(None).cast("double")
    columns = pa.table({"ticker": list(tickers), "column_number": pa.array(range(len(tickers)), pa.int32())})
    placed = bars.join(F.broadcast(sessions_frame(bars, sessions)), on="trade_date", how="inner").join(
        F.broadcast(bars.sparkSession.createDataFrame(columns)), on="ticker", how="inner"
    )
    # Numbers, not names and dates: a large market fits the driver.
    cells = placed.select("session_number", "column_number", close.alias("close"), opened.alias("open")).toArrow()
    closes, opens = (_placed(cells, name, (len(sessions), len(tickers))) for name in ("close", "open"))
    return Prices(tuple(sessions), tuple(tickers), closes, None if np.isnan(opens).all() else opens)


def sessions_frame(bars: DataFrame, sessions: Sequence[dt.date]) -> DataFrame:
    """Make a DataFrame of sessions: trade_date, session_number."""
    numbers = pa.array(range(len(sessions)), pa.int32())
    return bars.sparkSession.createDataFrame(
        pa.table({"trade_date": pa.array(sessions, pa.date32()), "session_number": numbers})
    )


def _placed(cells: pa.Table, name: str, shape: tuple[int, int]) -> Numbers:
    placed = np.full(shape, np.nan)
    rows, columns = (cells[number].to_numpy() for number in ("session_number", "column_number"))
    placed[rows, columns] = cells[name].to_numpy()
    return placed


def asked_sessions(schedule: Schedule) -> str:
    """The options by which a job collects the sessions of a backtest."""
    return f"--days {len(schedule.all_sessions)} --as-of {schedule.all_sessions[-1]}"


def _named(tickers: Sequence[str]) -> str:
    more = len(tickers) - _SHOWN
    return ", ".join(tickers[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def how_to_get(job: str, origin: DataOrigin) -> str:
    """Say by which command the missing facts come: a job collects them, and files of the user's own are imported."""
    command = collecting_command(job, origin)
    return f"import them with {command} (docs/FILES.md)" if origin == "files" else f"collect them with {command}"
