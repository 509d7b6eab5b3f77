"""Served tables as DataFrames: the rows and types that Postgres has, and no way to write."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from functools import partial

import pandas as pd
import pytest
from psycopg import sql
from pyspark.sql import SparkSession

from spark_app.errors import DataIncompleteError, UsageError
from spark_app.results import tables
from spark_app.results.tables import read_table, read_table_with_spark
from spark_app.schemas import SERVED_TABLES
from spark_app.storage.postgres.database import Database
from tests.storage.postgres.copies import new_database
from tests.storage.postgres.logins import url_of

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")


@pytest.fixture
def served(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Two dates of one sector, the second without a return; the database is the one in use."""
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO analytics_trending_sectors (as_of_date, etf_ticker, period_days, sector_name, return_pct,"
            " benchmark_return_pct, is_trending, rank, unavailable_reason, run_id) VALUES"
            " ('2023-06-30', 'XLK', 20, 'Information Technology', NULL, 2, false, NULL, 'no bar', 'run'),"
            " ('2023-06-29', 'XLK', 20, 'Information Technology', 3.25, 2, true, 1, NULL, 'run')"
        )
    monkeypatch.setenv("DATABASE_URL", url_of(database))
    return database


def test_a_table_is_read_into_pandas_with_usable_types(served: Database) -> None:
    trends = read_table("analytics_trending_sectors")
    assert list(trends["as_of_date"]) == [pd.Timestamp("2023-06-29"), pd.Timestamp("2023-06-30")]
    types = {name: str(kind) for name, kind in trends.dtypes.items()}
    assert (types["return_pct"], types["rank"], types["is_trending"]) == ("float64", "Int64", "boolean")
    assert trends["return_pct"].mean() == 3.25
    assert trends["rank"].isna().tolist() == [False, True]


@pytest.mark.parametrize("as_of", ["2023-06-30", dt.date(2023, 6, 30)])
def test_one_date_is_read(served: Database, as_of: str | dt.date) -> None:
    assert read_table("analytics_trending_sectors", as_of=as_of)["unavailable_reason"].tolist() == ["no bar"]


@pytest.mark.parametrize("name", [table.name for table in SERVED_TABLES])
def test_every_table_can_be_read_also_without_rows(served: Database, name: str) -> None:
    assert len(read_table(name, as_of="2020-01-02")) == 0


def test_a_table_is_read_with_spark_as_it_is_served(spark: SparkSession, served: Database) -> None:
    (row,) = read_table_with_spark(spark, "analytics_trending_sectors", as_of="2023-06-29").collect()
    assert (row["as_of_date"], row["return_pct"], row["is_trending"]) == (dt.date(2023, 6, 29), Decimal("3.25"), True)


def test_a_mistake_is_a_sentence(served: Database) -> None:
    with pytest.raises(
        UsageError, match=r"unknown served table 'logs_pipeline_run': choose from collected_daily_etf_ohlc"
    ):
        read_table("logs_pipeline_run")
    with pytest.raises(UsageError, match=r"invalid as_of '30.6.2023': expected YYYY-MM-DD"):
        read_table("analytics_trending_sectors", as_of="30.6.2023")


def test_without_any_table_the_reader_is_sent_to_the_pipeline(
    served: Database, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_database(served) as empty:
        monkeypatch.setenv("DATABASE_URL", url_of(empty))
        for read in (read_table, partial(read_table_with_spark, spark)):
            with pytest.raises(DataIncompleteError, match=r"^there are no results yet: run .* daily_pipeline$"):
                read("analytics_trending_sectors")


def test_the_database_is_only_read(served: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    changing = sql.SQL("DELETE FROM analytics_trending_sectors RETURNING *").format()
    monkeypatch.setattr(tables, "_query", lambda *_: changing)
    with pytest.raises(Exception, match="read-only transaction"):
        read_table("analytics_trending_sectors")
