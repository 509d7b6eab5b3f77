"""A served table that a user altered is named before anything is loaded."""

from __future__ import annotations

from typing import cast

import pytest
from pyspark.sql import DataFrame

from spark_app import schemas
from spark_app.errors import SparkAppError
from spark_app.schemas import ETF_OHLC, ServedTable
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.publishing.publication import Publication
from spark_app.storage.postgres.publishing.publish import publish
from spark_app.storage.postgres.publishing.served_columns import check_columns
from spark_app.storage.postgres.run_log import start_run
from tests.storage.postgres.publishing.test_publish import OK, run_key

SERVED = [table for table in vars(schemas).values() if isinstance(table, ServedTable)]


def test_the_tables_of_the_migrations_are_as_they_should_be(database: Database) -> None:
    assert len(SERVED) == 13
    with database.connect() as connection:
        check_columns(connection, SERVED)


def test_an_added_column_and_a_view_are_no_fault(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("ALTER TABLE collected_daily_etf_ohlc ADD COLUMN remark text")
        check_columns(connection, SERVED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "DROP COLUMN volume",
            "collected_daily_etf_ohlc was changed by hand: it has no column volume: "
            "ALTER TABLE collected_daily_etf_ohlc ADD COLUMN volume bigint, then run republish",
        ),
        (
            "ALTER COLUMN dividend TYPE double precision",
            "collected_daily_etf_ohlc was changed by hand: the type of dividend is double precision: ALTER TABLE "
            "collected_daily_etf_ohlc ALTER COLUMN dividend TYPE numeric(18,6) USING dividend::numeric(18,6), "
            "then run republish",
        ),
        (
            "ALTER COLUMN trade_date TYPE text",
            "collected_daily_etf_ohlc was changed by hand: the type of trade_date is text: ALTER TABLE "
            "collected_daily_etf_ohlc ALTER COLUMN trade_date TYPE date USING trade_date::date, then run republish",
        ),
    ],
)
def test_a_changed_column_is_named_with_the_way_back(
    database: Database, monkeypatch: pytest.MonkeyPatch, change: str, message: str
) -> None:
    monkeypatch.setattr(
        "spark_app.storage.postgres.publishing.loading.load", lambda *args: pytest.fail("rows were loaded")
    )
    start_run(database, run_key())
    with database.connect() as connection:
        connection.execute(f"ALTER TABLE collected_daily_etf_ohlc {change}".encode())
    rows = cast("DataFrame", object())
    with pytest.raises(SparkAppError) as failure:
        publish(database, run_key(), OK, origin="real", publications=[Publication(ETF_OHLC, rows)])
    assert str(failure.value) == message
    assert failure.value.exit_code == 1
    # The remedy works.
    with database.connect() as connection:
        connection.execute(message.split(": ")[-1].removesuffix(", then run republish").encode())
        check_columns(connection, SERVED)
