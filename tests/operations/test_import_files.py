"""Importing a user's own files into staging: what is saved, what is refused and where it is, what a rerun does.

Closes of AAA as they were traded: a split 2:1 on the third day and 3:1 after the last bar, a dividend on the fourth.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_app.ingestion.current import read_bars, read_holdings, read_index_membership, read_quotes
from spark_app.pipeline.result import StageReport
from tests.emulator import Market, YahooEmulator
from tests.integration.world import World, open_world

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")

FRIDAY = dt.date(2024, 1, 5)
NOW = dt.datetime(2024, 1, 11, 12, tzinfo=dt.UTC)
BARS = """ticker,trade_date,open_price,high_price,low_price,close_price,volume
AAA,2024-01-02,99,101,98,100,1000
AAA,2024-01-03,110,110,110,110,1000
AAA,2024-01-04,55,55,55,55,2000
aaa,2024-01-05,54,54,54,54,2000
BRK.B,2024-01-05,360,361,359,360,10
"""
FILES = {
    "bars": BARS,
    "splits": "ticker,ex_date,split_ratio\nAAA,2024-01-04,2\nAAA,2024-01-08,3\n",
    "dividends": "ticker,ex_date,dividend\nAAA,2024-01-05,1.1\n",
    "holdings": "etf_ticker,snapshot_date,holding_ticker,holding_name,holding_percent\n"
    'XLF,2024-01-03,BRK/B,"Berkshire ""B"", Inc",60\nXLF,2024-01-03,AAA,A Co,39.5\n'
    "XLF,2024-01-03,,US DOLLAR,0.3\nXLF,2024-01-03,,CASH,0.2\n",
    "quotes": "ticker,quote_date,market_cap,price,company_name\n"
    "AAA,2024-01-05,5400,54,A Co\nAAA,2024-01-09,5400,18,A Co\nBRK.B,2024-01-05,900000000000,,\n",
    "index_membership": "ticker,start_date,end_date\nAAA,2000-01-03,\nBRK.B,1950-01-01,2024-01-04\n",
}
UNADJUSTED = {"split_basis": "unadjusted"}


@pytest.fixture(scope="module")
def installed(home: Path) -> Iterator[World]:
    with YahooEmulator(Market()) as emulator, open_world(home, emulator) as opened:
        yield opened


@pytest.fixture
def world(installed: World, tmp_path: Path) -> World:
    """An installation with an empty staging."""
    (tmp_path / "home").mkdir()
    return World(tmp_path / "home", installed.emulator, installed.database, installed.owner)


def run_import(
    spark: SparkSession, world: World, files: Mapping[str, str | bytes], **settings: Any
) -> tuple[StageReport, Any]:
    """Write the files anew, import them; returns the report, and a run that reads staging."""
    folder = world.home / "files"
    folder.mkdir(exist_ok=True)
    for known in folder.iterdir():
        known.unlink()
    for name, content in files.items():
        path = folder / (name if "." in name else f"{name}.csv")
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    used = {"source": {"name": "files"}, "files": {"folder": str(folder)} | settings}
    report = world.run(spark, FRIDAY, stages=["import_files"], settings=used, now=NOW)["import_files"]
    return report, world.open(spark, FRIDAY, settings=used, now=NOW)


def closes(run: Any) -> dict[tuple[str, int], float]:
    return {(row["ticker"], row["trade_date"].day): row["close_price"] for row in read_bars(run).collect()}


def test_what_is_imported_stands_on_the_basis_of_the_last_bar(spark: SparkSession, world: World) -> None:
    report, run = run_import(spark, world, FILES, **UNADJUSTED)
    assert (report.exit_code, report.rows_rejected) == (0, 0), report
    assert "5 bars" in report.message and "2 rows of holdings that are no shares skipped" in report.message

    bars = {(row["ticker"], row["trade_date"].day): row for row in read_bars(run).collect()}
    assert {key: row["close_price"] for key, row in bars.items()} == {
        ("AAA", 2): 50, ("AAA", 3): 55, ("AAA", 4): 55, ("AAA", 5): 54, ("BRK-B", 5): 360,
    }  # fmt: skip
    assert [bars["AAA", 2][name] for name in ("open_price", "high_price", "low_price", "volume")] == [
        49.5,
        50.5,
        49,
        2000,
    ]
    assert [bars["AAA", day]["volume"] for day in (3, 4)] == [2000, 2000]
    assert [bars["AAA", day]["split_ratio"] for day in (2, 3, 4, 5)] == [1, 1, 2, 1]
    assert [bars["AAA", day]["dividend"] for day in (4, 5)] == [0, 1.1]
    # Before the ex-date times 1 - 1.1 / 55.
    adjusted = [bars["AAA", day]["adj_close_price"] for day in (2, 3, 4, 5)]
    assert adjusted == pytest.approx([49, 53.9, 53.9, 54], rel=1e-12)
    assert {row["source"] for row in bars.values()} == {"files"}

    holdings = read_holdings(run).orderBy("holding_percent").collect()
    columns = ("etf_ticker", "holding_ticker", "holding_name", "holding_percent")
    assert [tuple(row[name] for name in columns) for row in holdings] == [
        ("XLF", "AAA", "A Co", 39.5), ("XLF", "BRK-B", 'Berkshire "B", Inc', 60),
    ]  # fmt: skip
    quotes = {(row["ticker"], row["quote_date"].day): row for row in read_quotes(run).collect()}
    # The price after the split of 2024-01-08, which no bar lists, on the basis of the last bar.
    assert {key: row["price"] for key, row in quotes.items()} == {("AAA", 5): 54, ("AAA", 9): 54, ("BRK-B", 5): None}
    assert quotes["AAA", 5]["quoted_at"] == dt.datetime(2024, 1, 5, 21)  # noqa: DTZ001 - UTC, as Spark gives it.
    members = read_index_membership(run)
    assert members is not None
    assert sorted(members.collect()) == [
        ("AAA", dt.date(2000, 1, 3), None), ("BRK-B", dt.date(1950, 1, 1), dt.date(2024, 1, 4)),
    ]  # fmt: skip
    logged = world.query("SELECT ticker, kind, rows_fetched FROM logs_fetch WHERE run_id = %s", report.run_id)
    assert sorted(logged) == [
        ("AAA", "chart", 4), ("AAA", "quote", 2), ("BRK-B", "chart", 1), ("BRK-B", "quote", 1), ("XLF", "holdings", 2),
    ]  # fmt: skip
    assert len(world.emulator.log) == 0


def test_a_rerun_appends_nothing_and_a_later_split_restates(spark: SparkSession, world: World) -> None:
    first, run = run_import(spark, world, FILES, **UNADJUSTED)
    before = {table: run.staging.read(table).count() for table in ("bars", "holdings", "quotes", "index_membership")}
    again, run = run_import(spark, world, FILES, **UNADJUSTED)
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert "0 bars" in again.message and "0 quotes" in again.message
    assert {table: run.staging.read(table).count() for table in before} == before

    # The day of the second split comes: all bars before it are restated, and so is the quote after the last bar.
    later = FILES | {"bars": BARS + "AAA,2024-01-08,19,19,19,19,3000\n"}
    third, run = run_import(spark, world, later, **UNADJUSTED)
    assert "1 tickers restated" in third.message
    assert {key: round(value, 6) for key, value in closes(run).items() if key[0] == "AAA"} == {
        ("AAA", 2): 16.666667, ("AAA", 3): 18.333333, ("AAA", 4): 18.333333, ("AAA", 5): 18.0, ("AAA", 8): 19.0,
    }  # fmt: skip
    assert [row["price"] for row in read_quotes(run).where("ticker = 'AAA'").orderBy("quote_date").collect()] == [
        54,
        18,
    ]


def test_a_rejected_row_is_told_with_its_place_and_the_rest_is_saved(spark: SparkSession, world: World) -> None:
    bad = "AAA,2024-01-03,1.2.3,110,110,110,1000\nAAA,2024-01-06,55,55,55,55,1\nAAA,2024-01-04,55,54,55,55,1\n"
    bad += "CCC,2024-01-04,1,1,1,1,1\nCCC,2024-01-04,2,2,2,2,1\nSHORT,2024-01-04\n"
    report, run = run_import(spark, world, {"bars": BARS + "\n" + bad}, rejected_percent=100)
    assert (report.exit_code, report.rows_rejected) == (0, 6), report
    found = world.query("SELECT error_msg FROM logs_consumer_error WHERE run_id = %s ORDER BY id", report.run_id)
    assert [text for (text,) in found] == [
        "bars.csv row 6: open_price '1.2.3': it is not a number",
        "bars.csv row 7: trade_date '2024-01-06': it is not a completed session",
        "bars.csv row 8: ticker, trade_date 'AAA 2024-01-04': high_price is below low_price",
        "bars.csv row 9: ticker, trade_date 'CCC 2024-01-04': it is in more than one row",
        "bars.csv row 10: ticker, trade_date 'CCC 2024-01-04': it is in more than one row",
        "bars.csv row 11: (row) 'SHORT,2024-01-04': it has not 7 values",
    ]
    assert "6 of 11 rows of bars.csv rejected" in report.message
    assert len(closes(run)) == 5


def test_too_many_rejected_rows_save_nothing(spark: SparkSession, world: World) -> None:
    rows = "".join(f"AAA,2024-01-02,{n},x\n" for n in range(30))
    report, run = run_import(spark, world, FILES | {"quotes": "ticker,quote_date,market_cap,price\n" + rows})
    assert (report.exit_code, report.status) == (65, "incomplete")
    assert report.message.startswith(
        "30 of 30 rows of quotes.csv are rejected, and files.rejected_percent allows 5 %:"
        " quotes.csv row 1: market_cap '0': it is not between 1 and"
    )
    assert report.message.endswith("; quotes.csv: 10 rows more; nothing was saved")
    assert run.staging.read("bars").isEmpty() and run.staging.read("holdings").isEmpty()
    assert read_index_membership(run) is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has none of the files bars.csv"),
        ({"dividend": "ticker\n"}, "unknown file dividend.csv: choose from bars, splits,"),
        ({"bars": BARS, "bars.parquet": b""}, "bars is there as .csv and as .parquet: keep one"),
        (
            {"bars": BARS.replace("close_price", "close")},
            "no column close_price, unknown column close: the columns are",
        ),
        ({"bars": ""}, "no column ticker"),
    ],
)
def test_files_that_are_not_as_documented_are_refused(
    spark: SparkSession, world: World, files: dict[str, str | bytes], message: str
) -> None:
    report, _ = run_import(spark, world, files)
    assert report.exit_code == 2
    assert message in report.message


@pytest.mark.parametrize(
    ("basis", "seem"), [("adjusted", "to lack these splits"), ("2024-01-03", "")], ids=["adjusted", "date"]
)
def test_closes_that_contradict_their_basis_are_refused(
    spark: SparkSession, world: World, basis: str, seem: str
) -> None:
    report, run = run_import(spark, world, FILES, split_basis=basis)
    if not seem:
        # Up to 2024-01-03 nothing is contained: the same as unadjusted.
        assert report.exit_code == 0 and closes(run)["AAA", 2] == 50
        return
    assert report.exit_code == 65
    assert report.message == (
        f"at 1 of 1 splits the closes step by the ratio (AAA 2024-01-04): they seem {seem},"
        f" and files.split_basis is {basis}; nothing was saved"
    )
    assert run.staging.read("bars").isEmpty() and run.staging.read("holdings").isEmpty()


def test_a_file_of_closes_only_is_imported_and_its_bars_have_no_opens(spark: SparkSession, world: World) -> None:
    report, run = run_import(spark, world, {"bars": "ticker,trade_date,close_price\nAAA,2024-01-05,54\n"})
    assert report.exit_code == 0
    (bar,) = read_bars(run).collect()
    assert (bar["close_price"], bar["adj_close_price"], bar["open_price"], bar["volume"]) == (54, 54, None, None)


def test_a_parquet_file_of_typed_columns_is_imported(spark: SparkSession, world: World) -> None:
    folder = world.home / "made"
    typed = spark.createDataFrame(
        [("aaa", "2024-01-05", 54.0, 2000.0)], "ticker string, day string, c double, v double"
    )
    typed.select(
        "ticker",
        F.col("day").cast("timestamp_ntz").alias("trade_date"),
        F.col("c").alias("close_price"),
        F.col("v").alias("volume"),
    ).coalesce(1).write.parquet(str(folder))
    (part,) = folder.glob("part-*")
    report, run = run_import(spark, world, {"bars.parquet": part.read_bytes()})
    assert report.exit_code == 0, report
    assert [(row["ticker"], row["trade_date"], row["volume"]) for row in read_bars(run).collect()] == [
        ("AAA", FRIDAY, 2000)
    ]


def test_an_empty_file_is_no_reason_to_fail(spark: SparkSession, world: World) -> None:
    header = {name: text.splitlines()[0] + "\n" for name, text in FILES.items()}
    report, run = run_import(spark, world, header)
    assert report.exit_code == 0, report
    assert "saved from" in report.message and run.staging.read("bars").isEmpty()
