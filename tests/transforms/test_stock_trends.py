from __future__ import annotations

from decimal import Decimal

from pyspark.sql import DataFrame, SparkSession

from spark_app.transforms.stock_trends import stock_trends
from tests.transforms.frames import frame, session

RETURNS = (
    "as_of_date date, ticker string, etf_ticker string, sector string, period_days int,"
    "return_pct decimal(14,6), unavailable_code string, unavailable_reason string"
)
TRENDS = "as_of_date date, etf_ticker string, period_days int, return_pct decimal(14,6), is_trending boolean"
DAY = session(20)


def _returns(spark: SparkSession, rows: list[tuple[str, str, int, str | None]]) -> DataFrame:
    whole = [
        (
            DAY,
            ticker,
            fund,
            "Sector",
            period,
            *((None, "no_bar_at_end", "no bar") if r is None else (Decimal(r), None, None)),
        )
        for ticker, fund, period, r in rows
    ]
    return frame(spark, whole, RETURNS)


def _trends(spark: SparkSession, rows: list[tuple[str, int, str | None, bool]]) -> DataFrame:
    whole = [(DAY, fund, period, None if r is None else Decimal(r), t) for fund, period, r, t in rows]
    return frame(spark, whole, TRENDS)


def test_a_stock_trends_in_a_trending_sector_above_its_fund(spark: SparkSession) -> None:
    returns = _returns(
        spark,
        [
            ("ABOVE", "XLK", 5, "2.000001"),
            ("EQUAL", "XLK", 5, "2"),
            ("NONE", "XLK", 5, None),
            ("BELOW", "XLK", 5, "-9.5"),
            ("OTHER", "XLE", 5, "50"),
            ("UNKNOWN", "XLU", 5, "1"),
        ],
    )
    trends = _trends(spark, [("XLK", 5, "2", True), ("XLE", 5, "1", False), ("XLU", 5, None, False)])
    actual = {
        row.ticker: (
            row.sector_avg_5d,
            row.is_trending_5d,
            row.rank_5d,
            row.unavailable_code_5d,
            row.unavailable_reason_5d,
        )
        for row in stock_trends(returns, trends, periods=(5,)).collect()
    }
    assert actual == {
        "ABOVE": (Decimal(2), True, 1, None, None),
        "EQUAL": (Decimal(2), False, 2, None, None),
        "NONE": (Decimal(2), False, None, "no_bar_at_end", "no bar"),
        "BELOW": (Decimal(2), False, 3, None, None),
        "OTHER": (Decimal(1), False, 1, None, None),
        "UNKNOWN": (None, False, 1, None, None),
    }


def test_each_period_is_judged_by_itself_in_one_row_per_stock(spark: SparkSession) -> None:
    returns = _returns(
        spark,
        [
            *[("A", "XLK", 5, "1"), ("A", "XLK", 10, "6"), ("A", "XLK", 20, None)],
            *[("B", "XLK", 5, "1"), ("B", "XLK", 10, "7"), ("B", "XLK", 20, "30")],
        ],
    )
    trends = _trends(spark, [("XLK", 5, "0.5", True), ("XLK", 10, "6.5", True), ("XLK", 20, "40", True)])
    actual_df = stock_trends(returns, trends)
    shown = ("return", "sector_avg", "is_trending", "rank")
    actual = {
        row.ticker: {n: tuple(row[f"{name}_{n}d"] for name in shown) for n in (5, 10, 20)}
        for row in actual_df.collect()
    }
    assert actual == {
        "A": {
            5: (Decimal(1), Decimal("0.5"), True, 1),
            10: (Decimal(6), Decimal("6.5"), False, 2),
            20: (None, Decimal(40), False, None),
        },
        "B": {
            5: (Decimal(1), Decimal("0.5"), True, 2),
            10: (Decimal(7), Decimal("6.5"), True, 1),
            20: (Decimal(30), Decimal(40), False, 1),
        },
    }
    assert dict(actual_df.dtypes)["return_20d"] == "decimal(14,6)"
    assert dict(actual_df.dtypes)["rank_20d"] == "int"
