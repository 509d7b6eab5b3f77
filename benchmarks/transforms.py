"""Returns and trends of all dates at once: our transforms beside polars, DuckDB and pandas.

Each reads the same Parquet file and computes for every ticker, session and period the return, whether it is positive
and above that of a benchmark ticker, and its rank. Three sums of the results must agree. Spark is given the schema and
the sessions, as in a run, which knows them before it reads.

`python -m benchmarks.transforms WAY FILE BENCHMARK` runs one of them, once.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

from benchmarks import market
from benchmarks.bulk_session import build_bulk_session
from benchmarks.memory import Peak, run_within
from benchmarks.report import WARM_UPS, Measurement, best_in_turns
from spark_app.transforms.returns import session_returns
from spark_app.transforms.trends import rank_by_return
from spark_app.universe import PERIODS

_YEARS = {"tickers": 500, "sessions": 2268}  # Nine years of an index.
_MARKET = {"tickers": 5000, "sessions": 2520}  # Ten years of all stocks of a country.
_MEMORY = 1536.0
_SMALL = {
    "memory": "768m",
    "extraJavaOptions": "-XX:-UseSerialGC -XX:+UseParallelGC -XX:NewRatio=2 -XX:ReservedCodeCacheSize=128m",
}

_DUCKDB_RETURNS = """
WITH priced AS (
    SELECT ticker, trade_date, unnest([5, 10, 20]) AS period, unnest([
        lag(adj_close_price, 5) OVER ticker_days, lag(adj_close_price, 10) OVER ticker_days,
        lag(adj_close_price, 20) OVER ticker_days]) AS start_price, adj_close_price
    FROM read_parquet($file) WINDOW ticker_days AS (PARTITION BY ticker ORDER BY trade_date)
), returns AS (
    SELECT ticker, trade_date, period, round((adj_close_price / start_price - 1) * 100, 6) AS return_pct
    FROM priced WHERE start_price IS NOT NULL
), compared AS (
    SELECT own.return_pct, own.return_pct > 0 AND own.return_pct > benchmark.return_pct AS is_trending,
           row_number() OVER (PARTITION BY own.trade_date, own.period ORDER BY own.return_pct DESC, own.ticker) AS rank
    FROM returns AS own JOIN returns AS benchmark USING (trade_date, period) WHERE benchmark.ticker = $benchmark
)
SELECT sum(return_pct), count_if(is_trending), sum(rank) FROM compared
"""


_Sums = tuple[float, int, int]


def measure() -> list[Measurement]:
    """Time all of them on nine years of an index, and ours and polars on a whole market, there within little memory."""
    with tempfile.TemporaryDirectory(prefix="spark_app-bench-") as folder:
        years, whole = Path(folder) / "years.parquet", Path(folder) / "market.parquet"
        benchmark = market.write_closes(years, **_YEARS)
        market.write_closes(whole, **_MARKET)
        spark = build_bulk_session()
        lines = _timed(spark, years, benchmark, ("Spark", "polars", "DuckDB", "pandas"), warm_up=WARM_UPS, limit=4.0)
        lines += _timed(spark, whole, benchmark, ("Spark", "polars"), warm_up=2, limit=3.0)
        spark.stop()
        for way in ("Spark", "polars", "pandas"):
            peak = _peak(way, whole, benchmark)
            ended = f"ended after {peak.seconds:.0f} s" if peak.is_done else "exceeded"
            what = f"the same in {_MEMORY:,.0f} MiB, {ended}: {way}"
            lines.append(Measurement(what, peak.mebibytes, "MiB", _MEMORY if way == "Spark" else None))
    return lines


def _timed(
    spark: SparkSession, file: Path, benchmark: str, names: tuple[str, ...], *, warm_up: int, limit: float
) -> list[Measurement]:
    ways = {name: partial(_way(name, spark), str(file), benchmark) for name in names}
    for _ in range(warm_up):
        ways["Spark"]()
    sums = {name: way() for name, way in ways.items()}
    if len({(round(total, 2), trending, ranks) for total, trending, ranks in sums.values()}) != 1:
        raise SystemExit(f"the results differ: {sums}")
    seconds = dict(zip(ways, best_in_turns(*ways.values(), rounds=5), strict=True))
    rows = pa.parquet.read_metadata(file).num_rows
    what = f"returns, trends and ranks over {', '.join(map(str, PERIODS))} sessions of {rows:,} bars, all dates"
    ratio = Measurement(f"{what}: Spark / polars", seconds["Spark"] / seconds["polars"], "x", limit)
    return [*(Measurement(f"{what}: {name}", value, "s") for name, value in seconds.items()), ratio]


def _peak(way: str, file: Path, benchmark: str) -> Peak:
    return run_within([sys.executable, "-m", "benchmarks.transforms", way, str(file), benchmark], _MEMORY)


def _way(name: str, spark: SparkSession | None) -> Callable[[str, str], _Sums]:
    # Each imports its own library, so that the memory of one is not that of another.
    match name:
        case "Spark":
            return partial(_spark, spark or build_bulk_session(**_SMALL))
        case "polars":
            return _polars
        case "DuckDB":
            return _duckdb
        case _:
            return _pandas


def _spark(spark: SparkSession, file: str, benchmark: str) -> _Sums:
    # The schema from Delta's log, the sessions from the calendar.
    bars = spark.read.schema("ticker STRING, trade_date DATE, adj_close_price DOUBLE").parquet(file)
    sessions = spark.createDataFrame(_sessions(file, benchmark))
    asked = bars.select("ticker", F.col("trade_date").alias("as_of_date"))
    returns = session_returns(asked, bars, sessions, is_sorted=True)
    # One window for both: a date's rows of a period, the best first.
    whole = Window.partitionBy("as_of_date", "period_days").orderBy(F.desc_nulls_last("return_pct"), "ticker")
    every_row = whole.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    of_benchmark = F.when(F.col("ticker") == benchmark, F.col("return_pct"))
    benchmark_return = F.first(of_benchmark, ignorenulls=True).over(every_row)
    is_trending = (F.col("return_pct") > 0) & (F.col("return_pct") > benchmark_return)
    ranked = returns.select(
        "return_pct",
        is_trending.alias("is_trending"),
        rank_by_return("return_pct", "as_of_date", "period_days").alias("rank"),
    )
    row = ranked.agg(F.sum("return_pct"), F.count_if("is_trending"), F.sum("rank")).collect()[0]
    return float(row[0]), int(row[1]), int(row[2])


@cache
def _sessions(file: str, benchmark: str) -> pa.Table:
    is_benchmark = [("ticker", "=", benchmark)]
    days = pa.parquet.read_table(file, columns=["trade_date"], filters=is_benchmark)["trade_date"].sort()
    return pa.table({"trade_date": days, "session_number": pa.array(range(len(days)), pa.int32())})


def _pandas(file: str, benchmark: str) -> _Sums:
    import pandas as pd

    bars = pd.read_parquet(file).sort_values(["ticker", "trade_date"])
    prices = bars.groupby("ticker", sort=False)["adj_close_price"]
    total, trending, ranks = 0.0, 0, 0
    for period in PERIODS:
        bars["return_pct"] = ((bars["adj_close_price"] / prices.shift(period) - 1) * 100).round(6)
        known = bars.dropna(subset="return_pct")
        base = known.loc[known["ticker"] == benchmark].set_index("trade_date")["return_pct"]
        is_trending = (known["return_pct"] > 0) & (known["return_pct"] > known["trade_date"].map(base))
        total += float(known["return_pct"].sum())
        trending += int(is_trending.sum())
        ranks += int(known.groupby("trade_date")["return_pct"].rank(method="first", ascending=False).sum())
    return total, trending, ranks


def _polars(file: str, benchmark: str) -> _Sums:
    import polars as pl

    price = pl.col("adj_close_price")
    bars = pl.scan_parquet(file).sort("ticker", "trade_date")
    total, trending, ranks = 0.0, 0, 0
    for period in PERIODS:
        return_pct = ((price / price.shift(period).over("ticker") - 1) * 100).round(6).alias("return_pct")
        known = bars.with_columns(return_pct).drop_nulls("return_pct")
        base = known.filter(pl.col("ticker") == benchmark).select("trade_date", pl.col("return_pct").alias("base"))
        own = pl.col("return_pct")
        row = (
            known.join(base, on="trade_date")
            .select(
                own,
                ((own > 0) & (own > pl.col("base"))).alias("is_trending"),
                own.rank("ordinal", descending=True).over("trade_date").alias("rank"),
            )
            .select(own.sum(), pl.col("is_trending").sum(), pl.col("rank").cast(pl.Int64).sum())
            .collect()
            .row(0)
        )
        total, trending, ranks = total + row[0], trending + row[1], ranks + row[2]
    return total, trending, ranks


def _duckdb(file: str, benchmark: str) -> _Sums:
    import duckdb

    with duckdb.connect() as connection:
        rows = connection.execute(_DUCKDB_RETURNS, {"file": file, "benchmark": benchmark}).fetchall()
    return float(rows[0][0]), int(rows[0][1]), int(rows[0][2])


if __name__ == "__main__":
    _way(sys.argv[1], None)(*sys.argv[2:])
