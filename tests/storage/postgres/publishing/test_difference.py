"""What publishing would change, value by value, while the served tables stay as they are."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from pyspark.sql import SparkSession

from spark_app.schemas import ETF_HOLDINGS, PORTFOLIO_EXCLUSION, TRENDING_SECTORS
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.publishing.difference import Difference, compare_with_served
from spark_app.storage.postgres.publishing.publication import Publication, RowSet
from spark_app.storage.postgres.run_log import RowCounts

DAY, OTHER_DAY = dt.date(2023, 6, 30), dt.date(2023, 6, 29)
OF_DAY = RowSet(("as_of_date",), ((DAY,),))
_TRENDS = (
    "INSERT INTO analytics_trending_sectors (as_of_date, etf_ticker, period_days, sector_name, return_pct,"
    " benchmark_return_pct, is_trending, rank, unavailable_reason, run_id) VALUES"
    " ('2023-06-30', 'XLE', 20, 'Energy', 2.5, 2, true, 2, NULL, 'before'),"
    " ('2023-06-30', 'XLK', 20, 'Information Technology', 3, 2, true, 1, NULL, 'before')"
)
_EXCLUSIONS = (
    "INSERT INTO analytics_portfolio_exclusion (as_of_date, ticker, sector, reason, detail, run_id) VALUES"
    " ('2023-06-30', 'CVX', 'Energy', 'not_trending', 'as tested', 'before'),"
    " ('2023-06-29', 'CVX', 'Energy', 'not_trending', 'as tested', 'before')"
)


def everything(database: Database) -> list[tuple[object, ...]]:
    tables = ("analytics_trending_sectors", "analytics_portfolio_exclusion", "logs_pipeline_run", "logs_topic_outbox")
    with database.connect() as connection:
        return [row for name in tables for row in connection.execute(f"SELECT * FROM {name}".encode()).fetchall()]


def test_changed_values_new_rows_and_rows_that_go_are_told_and_nothing_is_written(
    spark: SparkSession, database: Database
) -> None:
    with database.connect() as connection:
        connection.execute(_TRENDS.encode())
        connection.execute(_EXCLUSIONS.encode())
    before = everything(database)
    trends = spark.createDataFrame(
        [
            (DAY, "XLE", 20, "Energy", None, Decimal(2), False, None, "no bar on 2023-06-30"),
            (DAY, "XLK", 20, "Information Technology", Decimal("3.000000"), Decimal(2), True, 1, None),
        ],
        TRENDING_SECTORS.computed_schema,
    )
    excluded = {"as_of_date": DAY, "ticker": "XOM", "sector": "Energy", "reason": "below_top_n", "detail": "as tested"}
    exclusions = spark.createDataFrame([excluded], PORTFOLIO_EXCLUSION.computed_schema)
    compared = compare_with_served(
        database,
        "run-00000002",
        [Publication(TRENDING_SECTORS, trends, OF_DAY), Publication(PORTFOLIO_EXCLUSION, exclusions, OF_DAY)],
    )

    key = {"as_of_date": DAY, "etf_ticker": "XLE", "period_days": 20}
    *changed, appears, goes = compared.differences
    assert changed == [
        *(
            Difference("analytics_trending_sectors", "changed", DAY, "XLE", column, old, new, key)
            for column, old, new in (
                ("return_pct", Decimal("2.5"), None),
                ("is_trending", True, False),
                ("rank", 2, None),
                ("unavailable_reason", None, "no bar on 2023-06-30"),
            )
        ),
    ]
    assert (appears.table, appears.change, appears.date, appears.ticker, appears.column, appears.old) == (
        *("analytics_portfolio_exclusion", "appears", DAY, "XOM", None, None),
    )
    assert (goes.table, goes.change, goes.date, goes.ticker, goes.column, goes.new) == (
        *("analytics_portfolio_exclusion", "goes", DAY, "CVX", None, None),
    )
    assert isinstance(appears.new, dict) and isinstance(goes.old, dict)
    assert (appears.new["reason"], goes.old["reason"]) == ("below_top_n", "not_trending")
    assert compared.counts == RowCounts(inserted=1, updated=1, unchanged=1, removed=1)
    assert everything(database) == before
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'loading'").fetchone() == (0,)


def test_when_a_row_was_fetched_is_not_compared_and_a_holding_is_named_by_its_own_ticker(
    spark: SparkSession, database: Database
) -> None:
    with database.connect() as connection:
        connection.execute(
            b"INSERT INTO collected_meta_etf (etf_ticker, holding_ticker, as_of_date, etf_type, sector_name,"
            b" holding_name, holding_percent, holding_rank, coverage_percent, source, fetched_at, run_id) VALUES"
            b" ('XLE', 'XOM', '2023-06-30', 'sector', 'Energy', 'EXXON', 22, 1, 38, 'yahoo', '2023-06-30', 'before'),"
            b" ('XLE', 'CVX', '2023-06-30', 'sector', 'Energy', 'CHEVRON', 16, 2, 38, 'yahoo', '2023-06-30', 'before')"
        )
    later = dt.datetime(2023, 7, 1, 12, tzinfo=dt.UTC)
    rows = [
        ("XLE", "XOM", DAY, "sector", "Energy", "EXXON", Decimal(22), 1, Decimal(38), "yahoo", later),
        ("XLE", "CVX", DAY, "sector", "Energy", "CHEVRON CORP", Decimal(16), 2, Decimal(38), "yahoo", later),
    ]
    holdings = spark.createDataFrame(rows, ETF_HOLDINGS.computed_schema)
    compared = compare_with_served(database, "run-00000002", [Publication(ETF_HOLDINGS, holdings)])
    assert [(d.date, d.ticker, d.column, d.old, d.new) for d in compared.differences] == [
        (DAY, "CVX", "holding_name", "CHEVRON", "CHEVRON CORP")
    ]
