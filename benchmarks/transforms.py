"""Returns and trends of all dates at once: our transforms beside pandas, polars and DuckDB.

Each reads the same Parquet file and computes for every ticker, session and period the return, whether it is positive
and above that of a benchmark ticker, and its rank. Three sums of the results must agree.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from benchmarks.report import Measurement, best_seconds
from spark_app.transforms.returns import session_returns
from spark_app.transforms.trends import rank_by_return
from spark_app.universe import PERIODS

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


def measure(spark: SparkSession, rows: pd.DataFrame) -> list[Measurement]:
    """Time the four."""
    benchmark = str(rows["ticker"].min())
    with tempfile.TemporaryDirectory(prefix="spark_app-bench-") as folder:
        file = str(Path(folder) / "bars.parquet")
        rows[["ticker", "trade_date", "adj_close_price"]].to_parquet(file)
        ways: dict[str, Callable[[], tuple[float, int, int]]] = {
            "Spark": lambda: _spark(spark, file, benchmark),
            "pandas": lambda: _pandas(file, benchmark),
            "polars": lambda: _polars(file, benchmark),
            "DuckDB": lambda: _duckdb(file, benchmark),
        }
        sums = {name: way() for name, way in ways.items()}
        if len({(round(total, 2), trending, ranks) for total, trending, ranks in sums.values()}) != 1:
            raise SystemExit(f"the four results differ: {sums}")
        seconds = {name: best_seconds(way) for name, way in ways.items()}
    what = f"returns and trends over {', '.join(map(str, PERIODS))} sessions of {len(rows):,} bars, all dates"
    return [Measurement(f"{what}: {name}", value, "s") for name, value in seconds.items()]


def _spark(spark: SparkSession, file: str, benchmark: str) -> tuple[float, int, int]:
    bars = spark.read.parquet(file)
    days = sorted(row[0] for row in bars.where(F.col("ticker") == benchmark).select("trade_date").collect())
    numbered = list(zip(days, range(len(days)), strict=True))
    sessions = spark.createDataFrame(numbered, "trade_date date, session_number int")
    asked = bars.select("ticker", F.col("trade_date").alias("as_of_date"))
    returns = session_returns(asked, bars, sessions).where(F.col("return_pct").isNotNull())
    benchmark_returns = returns.where(F.col("ticker") == benchmark).select(
        "as_of_date", "period_days", F.col("return_pct").alias("benchmark_return_pct")
    )
    compared = returns.join(F.broadcast(benchmark_returns), on=["as_of_date", "period_days"])
    is_trending = (F.col("return_pct") > 0) & (F.col("return_pct") > F.col("benchmark_return_pct"))
    ranked = compared.select(
        "return_pct",
        is_trending.alias("is_trending"),
        rank_by_return("return_pct", "as_of_date", "period_days").alias("rank"),
    )
    row = ranked.agg(F.sum("return_pct"), F.count_if("is_trending"), F.sum("rank")).collect()[0]
    return float(row[0]), int(row[1]), int(row[2])


def _pandas(file: str, benchmark: str) -> tuple[float, int, int]:
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


def _polars(file: str, benchmark: str) -> tuple[float, int, int]:
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


def _duckdb(file: str, benchmark: str) -> tuple[float, int, int]:
    with duckdb.connect() as connection:
        rows = connection.execute(_DUCKDB_RETURNS, {"file": file, "benchmark": benchmark}).fetchall()
    return float(rows[0][0]), int(rows[0][1]), int(rows[0][2])
