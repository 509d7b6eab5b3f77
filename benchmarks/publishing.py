"""Publishing rows to Postgres, beside psql's COPY and the same upsert inside the server."""

from __future__ import annotations

import contextlib
import datetime as dt
import subprocess
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks import market
from benchmarks.report import Measurement, best_seconds
from spark_app.schemas import ETF_OHLC
from spark_app.storage.postgres.database import Database, parse_url
from spark_app.storage.postgres.embedded.programs import client_program
from spark_app.storage.postgres.embedded.server import EmbeddedPostgres
from spark_app.storage.postgres.migrate import migrate
from spark_app.storage.postgres.publishing.publication import Publication
from spark_app.storage.postgres.publishing.publish import publish
from spark_app.storage.postgres.run_log import RunKey, RunResult, start_run

_COLUMNS = ETF_OHLC.schema.fieldNames()
_PRICES = ("open_price", "high_price", "low_price", "close_price")
_WAVE = 55  # Tickers in each file of the benchmark.
_PLAIN_UPSERT = """
CREATE UNLOGGED TABLE copied AS SELECT * FROM collected_daily_etf_ohlc WITH NO DATA;
\\copy copied ({columns}) FROM '{file}' WITH (FORMAT csv)
INSERT INTO collected_daily_etf_ohlc ({columns})
SELECT {columns} FROM copied ORDER BY ticker, trade_date
ON CONFLICT (ticker, trade_date) DO UPDATE SET {assignments}
WHERE ({stored}) IS DISTINCT FROM ({excluded});
DROP TABLE copied;
"""


def measure(spark: SparkSession, rows: pd.DataFrame) -> list[Measurement]:
    """Time a first load and an unchanged rerun of both, and measure the write-ahead log of a rerun."""
    with _folder() as folder:
        frame, csv = _served_frame(spark, folder, rows), folder / "rows.csv"
        _served_csv(rows, csv)
        return _compare(frame, csv, folder, len(rows), rounds=3, limits=(1.5, 1.6))


def measure_market(spark: SparkSession) -> list[Measurement]:
    """The same once, with ten years of all stocks of a country: more rows than memory holds."""
    with _folder() as folder:
        market.write_closes(folder / "closes.parquet", tickers=5000, sessions=2520)
        closes = spark.read.parquet(str(folder / "closes.parquet"))
        prices = {name: F.col("adj_close_price") for name in _PRICES}
        whole = closes.withColumns(
            {**prices, "volume": F.lit(1_000_000), "dividend": F.lit(0), "split_ratio": F.lit(1)}
        )
        _with_run(whole).sortWithinPartitions("ticker", "trade_date").write.parquet(str(folder / "rows"))
        frame = spark.read.parquet(str(folder / "rows"))
        frame.coalesce(1).write.csv(str(folder / "csv"))
        (csv,) = (folder / "csv").glob("*.csv")
        csv.parent.chmod(0o755)
        csv.chmod(0o644)
        return _compare(frame, csv, folder, frame.count(), rounds=1, limits=(1.5, 1.3))


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="spark_app-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _compare(
    frame: DataFrame, csv: Path, folder: Path, rows: int, *, rounds: int, limits: tuple[float, float]
) -> list[Measurement]:
    names = ("first load", "unchanged rerun")
    ours: dict[str, list[float]] = {name: [] for name in names}
    plain: dict[str, list[float]] = {name: [] for name in names}
    wal = 0.0
    with EmbeddedPostgres(folder / "postgres").lease() as url:
        database = parse_url(url)
        migrate(database)
        psql = str(client_program("psql"))
        for attempt in range(rounds):
            for name in names:
                if name == "first load":
                    _truncate(database)
                plain[name].append(best_seconds(lambda: _copy_and_upsert(psql, database, csv), runs=1))
            for name in names:
                if name == "first load":
                    _truncate(database)
                before = _wal_position(database)
                # Of a stage of its own: the stage of the first load would find its checksum, and send nothing.
                run = RunKey(f"bench-{attempt}{names.index(name)}000000", name, dt.date(2026, 1, 2), {})
                ours[name].append(best_seconds(partial(_publish, database, frame, run), runs=1))
                wal = _wal_since(database, before)
        again = RunKey("bench-again000", names[1], dt.date(2026, 1, 2), {})
        unsent = best_seconds(partial(_publish, database, frame, again), runs=1)
    lines = []
    for name, limit in zip(names, limits, strict=True):
        lines += [
            Measurement(f"publish {rows:,} rows, {name}: psql COPY + upsert", min(plain[name]), "s"),
            Measurement(f"publish {rows:,} rows, {name}: Spark", min(ours[name]), "s"),
            Measurement(f"publish {rows:,} rows, {name}: ratio", min(ours[name]) / min(plain[name]), "x", limit),
        ]
    return [
        *lines,
        Measurement(f"publish {rows:,} rows, the same again by the same stage: Spark", unsent, "s"),
        Measurement("publish: write-ahead log of an unchanged rerun", wal, "MB", 1.0),
    ]


def _served_frame(spark: SparkSession, folder: Path, rows: pd.DataFrame) -> DataFrame:
    """Return the rows as a Spark DataFrame over files, as a stage has them."""
    bars = folder / "bars"
    bars.mkdir()
    # Files as waves of tickers write them, which Spark splits into two equal tasks; one file of this size it would
    # split into tasks of 200,000 and 77,200 rows.
    for wave, tickers in rows.groupby(pd.factorize(rows["ticker"])[0] // _WAVE):
        tickers.to_parquet(bars / f"{wave}.parquet")
    return _with_run(spark.read.parquet(str(bars)))


def _with_run(bars: DataFrame) -> DataFrame:
    fetched_at = F.lit(dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    change = F.lit(Decimal("0.5"))
    frame = bars.withColumns({"price_change_percent": change, "fetched_at": fetched_at, "run_id": F.lit("bench")})
    return frame.select(*[F.col(f.name).cast(f.dataType).alias(f.name) for f in ETF_OHLC.schema.fields])


def _served_csv(rows: pd.DataFrame, file: Path) -> None:
    served = rows.assign(price_change_percent=0.5, fetched_at="2026-01-02T00:00:00Z", run_id="bench")
    served[_COLUMNS].to_csv(file, header=False, index=False, float_format="%.6f")


def _publish(database: Database, frame: DataFrame, run: RunKey) -> None:
    start_run(database, run)
    publish(database, run, RunResult("ok", 0, ""), origin="synthetic", publications=[Publication(ETF_OHLC, frame)])


def _copy_and_upsert(psql: str, database: Database, csv: Path) -> None:
    values = [c for c in _COLUMNS if c not in ("ticker", "trade_date")]
    compared = [c for c in values if c not in ("run_id", "fetched_at")]
    script = _PLAIN_UPSERT.format(
        columns=", ".join(_COLUMNS),
        file=csv,
        assignments=", ".join(f"{c} = EXCLUDED.{c}" for c in values),
        stored=", ".join(f"collected_daily_etf_ohlc.{c}" for c in compared),
        excluded=", ".join(f"EXCLUDED.{c}" for c in compared),
    )
    place = database.parameters
    subprocess.run(
        [
            psql,
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            place["host"],
            "-p",
            place["port"],
            "-U",
            place["user"],
            place["dbname"],
        ],
        input=script,
        text=True,
        check=True,
        env={"PGPASSWORD": database.password or ""},
    )


def _truncate(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("TRUNCATE collected_daily_etf_ohlc")
        connection.execute("CHECKPOINT")


def _wal_position(database: Database) -> str:
    with database.connect() as connection:
        return str(connection.execute("SELECT pg_current_wal_lsn()::text").fetchall()[0][0])


def _wal_since(database: Database, position: str) -> float:
    with database.connect() as connection:
        rows = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), %s)", (position,)).fetchall()
        return float(rows[0][0]) / 1e6
