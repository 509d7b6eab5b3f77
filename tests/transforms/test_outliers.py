"""What counts as a jump; session number n is the n-th weekday of May 2023."""

from __future__ import annotations

from pyspark.sql import SparkSession

from spark_app.transforms.outliers import with_outlier
from tests.transforms.frames import bars_frame, session, sessions_frame


def test_only_a_change_beyond_the_limit_from_one_session_to_the_next_is_a_jump(spark: SparkSession) -> None:
    prices = {
        "FELL": [100, 59], "ROSE": [100, 141], "AT_LIMIT": [100, 60], "GAP": [100, None, 10],
        "XLK": [100, 74], "SPY": [100, 126], "XLE": [100, 76], "ALONE": [100],
    }  # fmt: skip
    rows = [(t, n, float(p)) for t, path in prices.items() for n, p in enumerate(path) if p is not None]
    bars = bars_frame(spark, rows)
    jumps = with_outlier(bars, sessions_frame(spark, 5), stock_percent=40, fund_percent=25)
    assert jumps.columns == [*bars.columns, "price_outlier_percent"]
    assert jumps.count() == len(rows)
    found = {row["ticker"]: row for row in jumps.where("price_outlier_percent IS NOT NULL").collect()}
    percents = {ticker: round(row["price_outlier_percent"], 6) for ticker, row in found.items()}
    assert percents == {"FELL": -41, "ROSE": 41, "XLK": -26, "SPY": 26}
    assert {row["trade_date"] for row in found.values()} == {session(1)}
    assert jumps.where("false").columns == jumps.columns
