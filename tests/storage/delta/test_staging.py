"""Delta staging: appends that can be repeated, and kinds of data that do not mix."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, NumericType, StructType

from spark_app.errors import ServiceUnavailableError, UsageError
from spark_app.schemas import BARS, FETCHES, HOLDINGS, QUOTES
from spark_app.storage.delta.staging import BARS_TABLE, FETCHES_TABLE, HOLDINGS_TABLE, QUOTES_TABLE, Staging
from spark_app.storage.delta.table_state import read_delta_state

FETCHED_AT = dt.datetime(2023, 6, 30, 21, 5, tzinfo=dt.UTC)


def bars(spark: SparkSession, *tickers: str) -> DataFrame:
    rows = [
        (t, dt.date(2023, 6, 30), 1.0, 1.0, 1.0, 1.0, 1.0, 1, 0.0, 1.0, FETCHED_AT, "run", "yahoo") for t in tickers
    ]
    return spark.createDataFrame(rows, BARS)


def one_row(spark: SparkSession, schema: StructType) -> DataFrame:
    texts = {
        field.name: None
        if isinstance(field.dataType, ArrayType | StructType)
        else "1"
        if isinstance(field.dataType, NumericType)
        else "2023-06-30"
        for field in schema
    }
    return spark.range(1).select(*[F.lit(texts[f.name]).cast(f.dataType).alias(f.name) for f in schema])


def staging(spark: SparkSession, folder: Path, origin: str = "real") -> Staging:
    return Staging(spark, str(folder / "staging with space"), origin)


def test_a_table_that_does_not_exist_yet_is_empty(spark: SparkSession, tmp_path: Path) -> None:
    empty = staging(spark, tmp_path).read(BARS_TABLE)
    assert (empty.count(), empty.schema) == (0, BARS)


def test_an_append_returns_the_version_it_made(spark: SparkSession, tmp_path: Path) -> None:
    tables = staging(spark, tmp_path)
    first = tables.append(BARS_TABLE, bars(spark, "XLK"))
    assert tables.append(BARS_TABLE, bars(spark, "XLE")) == first + 1


def test_rows_that_lack_a_column_are_not_appended_as_if_it_were_null(
    spark: SparkSession, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tables = staging(spark, tmp_path)
    tables.append(BARS_TABLE, bars(spark, "XLK"))
    with pytest.raises(ServiceUnavailableError, match="`volume` cannot be resolved"):
        tables.append(BARS_TABLE, bars(spark, "XLE").drop("volume"))
    assert not capfd.readouterr().err
    assert tables.read(BARS_TABLE).count() == 1


def test_an_append_of_no_rows_returns_the_newest_version(spark: SparkSession, tmp_path: Path) -> None:
    tables = staging(spark, tmp_path)
    newest = tables.append(BARS_TABLE, bars(spark, "XLK"))
    for _ in range(2):
        tables.append(FETCHES_TABLE, spark.createDataFrame([], FETCHES))
    assert tables.append(BARS_TABLE, bars(spark)) == newest


def test_synthetic_and_real_data_never_share_the_staging_tables(spark: SparkSession, tmp_path: Path) -> None:
    nothing = spark.createDataFrame([], FETCHES)
    staging(spark, tmp_path).append(FETCHES_TABLE, nothing)
    staging(spark, tmp_path).check_origin()
    with pytest.raises(UsageError, match="hold real data and the run would add synthetic"):
        staging(spark, tmp_path, "synthetic").check_origin()


def test_a_folder_that_cannot_be_written_is_one_sentence(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    blocked = Staging(spark, str(tmp_path / "file"), "real")
    with pytest.raises(ServiceUnavailableError, match="staging failed while") as failure:
        blocked.append(BARS_TABLE, bars(spark, "XLK"))
    assert "\n" not in str(failure.value)


def test_the_checksum_file_names_the_files_of_a_table(spark: SparkSession, tmp_path: Path) -> None:
    tables = staging(spark, tmp_path)
    tables.append(BARS_TABLE, bars(spark, "XLK"))
    state = read_delta_state(spark, tables.path(BARS_TABLE))
    assert state is not None
    assert sum(Path(file.path).exists() for file in state.files) == len(state.files) > 0


def test_a_long_checksum_file_is_read_whole_in_answers_that_are_sent_at_once(
    spark: SparkSession, tmp_path: Path, java_calls: list[tuple[str, str]]
) -> None:
    tables, tickers = staging(spark, tmp_path), [f"T{n:02d}" for n in range(24)]
    tables.append(BARS_TABLE, bars(spark, *tickers).repartitionByRange(24, "ticker"))
    java_calls.clear()
    state = read_delta_state(spark, tables.path(BARS_TABLE))
    assert state is not None
    assert sorted({file.lowest["ticker"] for file in state.files}) == tickers
    lengths = [len(answer) for _, answer in java_calls]
    assert sum(lengths) > 2 * 8192 > 2 * max(lengths)


def test_files_that_cannot_contain_a_value_are_skipped(spark: SparkSession, tmp_path: Path) -> None:
    tables = staging(spark, tmp_path)
    for ticker in ("XLE", "XLK"):
        tables.append(BARS_TABLE, bars(spark, ticker).coalesce(1))
    state = read_delta_state(spark, tables.path(BARS_TABLE))
    assert state is not None
    assert [sum(f.may_contain("ticker", t) for f in state.files) for t in ("XLE", "XLK", "XLA", "XLZ")] == [1, 1, 0, 0]
    assert all(file.may_contain("no such column", "x") for file in state.files)


@pytest.mark.parametrize(
    ("table", "schema", "columns"),
    [
        (FETCHES_TABLE, FETCHES, {"run_id", "kind", "ticker", "fetched_at"}),
        (BARS_TABLE, BARS, {"ticker", "trade_date", "fetched_at", "run_id"}),
        (HOLDINGS_TABLE, HOLDINGS, {"etf_ticker", "snapshot_date", "fetched_at"}),
        (QUOTES_TABLE, QUOTES, {"ticker", "quote_date", "fetched_at"}),
    ],
)
def test_a_file_has_bounds_of_the_columns_that_reads_filter_by(
    spark: SparkSession, tmp_path: Path, table: str, schema: StructType, columns: set[str]
) -> None:
    tables = staging(spark, tmp_path)
    tables.append(table, one_row(spark, schema))
    state = read_delta_state(spark, tables.path(table))
    assert state is not None
    assert {column for file in state.files for column in file.lowest} == columns


@pytest.mark.parametrize("lost", ["*.crc", "00000000000000000002.crc"])
def test_a_table_without_its_newest_checksum_file_is_read_through_delta(
    spark: SparkSession, tmp_path: Path, lost: str
) -> None:
    tables = staging(spark, tmp_path)
    for ticker in ("XLE", "XLK"):
        tables.append(BARS_TABLE, bars(spark, ticker))
    for file in Path(tables.path(BARS_TABLE), "_delta_log").glob(lost):
        file.unlink()
    assert read_delta_state(spark, tables.path(BARS_TABLE)) is None
    assert sorted(row.ticker for row in tables.read(BARS_TABLE).collect()) == ["XLE", "XLK"]


@pytest.mark.parametrize(
    "text", ["", '{"allFiles": [{"path"', "[1]", '{"allFiles": [1], "numFiles": 1, "protocol": 1, "metadata": 2}']
)
def test_a_damaged_checksum_file_is_removed_and_told(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    tables = staging(spark, tmp_path)
    tables.append(BARS_TABLE, bars(spark, "XLE"))
    newest = sorted(Path(tables.path(BARS_TABLE), "_delta_log").glob("[0-9]*.crc"))[-1]
    newest.write_text(text)
    for _ in range(2):
        assert [row.ticker for row in tables.read(BARS_TABLE).collect()] == ["XLE"]
    assert [record.getMessage() for record in caplog.records if record.name.startswith("spark_app")] == [
        f"staging: file:{newest} is damaged: doing without it"
    ]
    tables.append(BARS_TABLE, bars(spark, "XLK"))
    assert sorted(row.ticker for row in tables.read(BARS_TABLE).collect()) == ["XLE", "XLK"]


@pytest.mark.parametrize("stray", ["00000000000000000099.crc", "notes.crc", ".00000000000000000001.json.crc"])
def test_a_stray_checksum_file_changes_nothing(spark: SparkSession, tmp_path: Path, stray: str) -> None:
    tables = staging(spark, tmp_path)
    tables.append(BARS_TABLE, bars(spark, "XLE"))
    log = Path(tables.path(BARS_TABLE), "_delta_log")
    # Of the empty table before the append, or of nothing that Hadoop knows.
    (log / stray).write_bytes((log / f"{0:020d}.crc").read_bytes() if stray[0] != "." else b"crc\0\0\0\2\0abcdefgh")
    assert [row.ticker for row in tables.read(BARS_TABLE).collect()] == ["XLE"]
    tables.append(BARS_TABLE, bars(spark, "XLK"))
    assert sorted(row.ticker for row in tables.read(BARS_TABLE).collect()) == ["XLE", "XLK"]


def test_a_checksum_file_of_hadoop_that_does_not_fit_is_not_looked_at(spark: SparkSession, tmp_path: Path) -> None:
    tables = staging(spark, tmp_path)
    tables.append(BARS_TABLE, bars(spark, "XLE"))
    for file in Path(tables.path(BARS_TABLE)).rglob("*.*"):
        if file.is_file() and not file.name.startswith("."):
            file.with_name(f".{file.name}.crc").write_bytes(b"crc\0\0\0\2\0abcdefgh")
    jvm: Any = spark.sparkContext._jvm
    jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
    assert [row.ticker for row in tables.read(BARS_TABLE).collect()] == ["XLE"]
    delta = spark.read.format("delta").load(tables.path(BARS_TABLE))
    assert [row.ticker for row in delta.collect()] == ["XLE"]


def test_a_path_is_not_read_as_a_glob_pattern(spark: SparkSession, tmp_path: Path) -> None:
    tables = Staging(spark, str(tmp_path / "staging [a-b]*"), "real")
    tables.append(BARS_TABLE, bars(spark, "XLK"))
    assert [row.ticker for row in tables.read(BARS_TABLE).collect()] == ["XLK"]


def test_a_table_that_another_run_just_begins_to_create_is_empty(spark: SparkSession, tmp_path: Path) -> None:
    tables = staging(spark, tmp_path)
    (Path(tables.path(FETCHES_TABLE)) / "_delta_log").mkdir(parents=True)
    assert tables.read(FETCHES_TABLE).count() == 0
    tables.append(FETCHES_TABLE, spark.createDataFrame([], FETCHES))
    with pytest.raises(UsageError, match="hold real data"):
        staging(spark, tmp_path, "synthetic").check_origin()


def test_first_runs_at_the_same_moment_lose_nothing(spark: SparkSession, tmp_path: Path) -> None:
    tickers = ("XLB", "XLC", "XLE", "XLF")
    together = threading.Barrier(len(tickers))

    def append(number: int, ticker: str) -> int:
        together.wait(60)
        return staging(spark, tmp_path / str(number)).append(BARS_TABLE, bars(spark, ticker))

    with ThreadPoolExecutor(len(tickers)) as pool:
        for number in range(3):
            list(pool.map(append, [number] * len(tickers), tickers))
            rows = staging(spark, tmp_path / str(number)).read(BARS_TABLE).collect()
            assert sorted(row["ticker"] for row in rows) == sorted(tickers)


def test_a_run_killed_while_creating_a_table_does_not_block_the_next(spark: SparkSession, tmp_path: Path) -> None:
    tables = staging(spark, tmp_path)
    log = Path(tables.path(BARS_TABLE)) / "_delta_log"
    log.mkdir(parents=True)
    for name in ("00000000000000000000.json.7f.tmp", ".00000000000000000000.json.7f.tmp.crc"):
        (log / name).write_text("{")
    tables.append(BARS_TABLE, bars(spark, "XLK"))
    assert [row["ticker"] for row in tables.read(BARS_TABLE).collect()] == ["XLK"]
