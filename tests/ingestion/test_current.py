"""Which quotes of staging are used."""

from __future__ import annotations

from pyspark.sql import SparkSession

from spark_app.ingestion.current import is_plausible_quote


def test_a_quote_of_an_implausible_date_is_not_used(spark: SparkSession) -> None:
    dates = {
        "0005-01-01": False,
        "1970-01-01": False,
        "1993-01-28": False,
        "1993-01-29": True,
        "2024-05-10": True,
        "2024-05-11": True,
        "2024-05-12": False,
        "9999-12-31": False,
    }
    rows = " UNION ALL ".join(f"SELECT DATE'{date}' AS quote_date" for date in dates)
    quotes = spark.sql(f"SELECT *, TIMESTAMP'2024-05-10 12:00:00' AS fetched_at FROM ({rows})")
    used = quotes.where(is_plausible_quote()).selectExpr("string(quote_date)").collect()
    assert {row[0] for row in used} == {date for date, is_used in dates.items() if is_used}
