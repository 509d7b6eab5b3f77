"""Publishing rows to Postgres, beside psql's COPY and the same upsert inside the server."""

from __future__ import annotations

import datetime as dt
import subprocess
import tempfile
from decimal import Decimal
from functools import partial
from pathlib import Path

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.report import Measurement, best_seconds
from spark_app.schemas import ETF_OHLC
from spark_app.storage.postgres.database import Database, parse_url
from spark_app.storage.postgres.embedded.programs import client_program
from spark_app.storage.postgres.embedded.server import EmbeddedPostgres
from spark_app.storage.postgres.migrate import migrate
from spark_app.storage.postgres.publication import Publication
from spark_app.storage.postgres.publish import publish
from spark_app.storage.postgres.run_log import RunKey, RunResult, start_run

_COLUMNS = ETF_OHLC.schema.fieldNames()
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
    folder = Path(tempfile.mkdtemp(prefix="spark_app-bench-"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder / "postgres")
    with server.lease() as url:
        database = parse_url(url)
        migrate(database)
        frame = _served_frame(spark, folder, rows)
        csv = folder / "rows.csv"
        _served_csv(rows, csv)
        psql = str(client_program("psql"))
        names = ("first load", "unchanged rerun")
        ours: dict[str, list[float]] = {name: [] for name in names}
        plain: dict[str, list[float]] = {name: [] for name in names}
        wal = 0.0
        for attempt in range(3):
            for name in names:
                if name == "first load":
                    _truncate(database)
                plain[name].append(best_seconds(lambda: _copy_and_upsert(psql, database, csv), runs=1))
            for name in names:
                if name == "first load":
                    _truncate(database)
                before = _wal_position(database)
                run = RunKey(f"bench-{attempt}{names.index(name)}000000", "bench", dt.date(2026, 1, 2), {})
                ours[name].append(best_seconds(partial(_publish, database, frame, run), runs=1))
                wal = _wal_since(database, before)
    count = f"{len(rows):,} rows"
    lines = []
    for name, limit in zip(names, (1.5, 1.6), strict=True):
        lines += [
            Measurement(f"publish {count}, {name}: psql COPY + upsert", min(plain[name]), "s"),
            Measurement(f"publish {count}, {name}: Spark", min(ours[name]), "s"),
            Measurement(f"publish {count}, {name}: ratio", min(ours[name]) / min(plain[name]), "x", limit),
        ]
    return [*lines, Measurement("publish: write-ahead log of an unchanged rerun", wal, "MB", 1.0)]


def _served_frame(spark: SparkSession, folder: Path, rows: pd.DataFrame):  # type: ignore[no-untyped-def]
    """Return the rows as a Spark DataFrame over files, as a stage has them."""
    bars = folder / "bars"
    bars.mkdir()
    # Files as waves of tickers write them, which Spark splits into two equal tasks; one file of this size it would
    # split into tasks of 200,000 and 77,200 rows.
    for wave, tickers in rows.groupby(pd.factorize(rows["ticker"])[0] // _WAVE):
        tickers.to_parquet(bars / f"{wave}.parquet")
    frame = spark.read.parquet(str(bars)).withColumn("price_change_percent", F.lit(Decimal("0.5")))
    frame = frame.withColumn("fetched_at", F.lit(dt.datetime(2026, 1, 2, tzinfo=dt.UTC))).withColumn(
        "run_id", F.lit("bench")
    )
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
