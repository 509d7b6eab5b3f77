"""Price outliers; session number n is the n-th weekday of May 2023."""

from __future__ import annotations

from pyspark.sql import SparkSession

from spark_app.transforms.outliers import with_outlier
from tests.transforms.frames import bars_frame, session, sessions_frame


def test_only_a_change_above_the_limit_between_consecutive_sessions_is_an_outlier(spark: SparkSession) -> None:
    prices: dict[str, list[float | None]] = {
        "FELL": [100, 59], "ROSE": [100, 141], "AT_LIMIT": [100, 60], "GAP": [100, None, 10],
        "XLK": [100, 74], "SPY": [100, 126], "XLE": [100, 76], "ALONE": [100],
    }  # fmt: skip
    rows = [(t, n, float(p)) for t, path in prices.items() for n, p in enumerate(path) if p is not None]
    # A listed split explains no change: the closes already contain it.
    bars = bars_frame(spark, rows, splits={("FELL", 1): 2.0})
    outliers = with_outlier(bars, sessions_frame(spark, 5), stock_percent=40, fund_percent=25)
    assert outliers.columns == [*bars.columns, "price_outlier_percent"]
    assert outliers.count() == len(rows)
    found = {row["ticker"]: row for row in outliers.where("price_outlier_percent IS NOT NULL").collect()}
    percents = {ticker: round(row["price_outlier_percent"], 6) for ticker, row in found.items()}
    assert percents == {"FELL": -41, "ROSE": 41, "XLK": -26, "SPY": 26}
    assert {row["trade_date"] for row in found.values()} == {session(1)}
    assert outliers.where("false").columns == outliers.columns
