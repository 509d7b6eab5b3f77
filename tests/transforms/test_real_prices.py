"""Real prices against pandas, which shares no code with the transforms."""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from spark_app.transforms.prices import with_price_change
from spark_app.transforms.returns import session_returns
from spark_app.transforms.trends import sector_trends
from spark_app.universe import SECTOR_NAMES
from tests.transforms.frames import frame


def _bars(spark: SparkSession, path: Path) -> DataFrame:
    return spark.read.parquet(str(path)).selectExpr(
        "ticker", "cast(trade_date as date) as trade_date", "close as close_price", "adj_close as adj_close_price"
    )


def _numbered(spark: SparkSession, dates: list[dt.date]) -> DataFrame:
    return frame(spark, [(d, n) for n, d in enumerate(dates)], "trade_date date, session_number int")


def _percent(fraction: float) -> Decimal | None:
    if pd.isna(fraction):
        return None
    return Decimal(repr(float(fraction * 100))).quantize(Decimal("0.000001"), ROUND_HALF_UP)


def test_sector_trends_of_nine_years_agree_with_pandas(spark: SparkSession, shared_data: Path) -> None:
    bars = _bars(spark, shared_data / "market_data" / "etf_daily.parquet")
    prices = bars.toPandas().pivot(index="trade_date", columns="ticker", values="adj_close_price").sort_index()
    sessions = _numbered(spark, list(prices.index))
    trends = sector_trends(bars, sessions, sessions.selectExpr("trade_date as as_of_date"))
    actual = trends.toPandas().set_index(["period_days", "as_of_date", "etf_ticker"]).sort_index()
    assert len(actual) == 3 * len(prices) * len(SECTOR_NAMES)

    for period in (5, 10, 20):
        expected = (prices / prices.shift(period) - 1).map(_percent)
        returns = actual.loc[period]["return_pct"].unstack()
        for fund in SECTOR_NAMES:
            assert list(returns[fund]) == list(expected[fund])
        best = expected[list(SECTOR_NAMES)].astype(float).rank(axis=1, ascending=False, method="first")
        ranks = actual.loc[period]["rank"].unstack()
        # Equal returns rank by ticker, which is the order of the columns in pandas' "first".
        pd.testing.assert_frame_equal(ranks, best, check_dtype=False, check_names=False)
        flags = expected[list(SECTOR_NAMES)].astype(float)
        is_trending = flags.gt(expected["SPY"].astype(float), axis=0) & (flags > 0)
        pd.testing.assert_frame_equal(
            actual.loc[period]["is_trending"].unstack(), is_trending, check_dtype=False, check_names=False
        )


def test_a_special_dividend_moves_the_close_but_not_the_return(spark: SparkSession, shared_data: Path) -> None:
    # Keurig Dr Pepper, 2018-07-10: close -82 %, adjusted close +11 %.
    bars = _bars(spark, shared_data / "market_data" / "stock_daily.parquet").where("ticker = 'KDP'")
    july = bars.where("trade_date between '2018-07-09' and '2018-07-10'")
    sessions = _numbered(spark, [dt.date(2018, 7, 9), dt.date(2018, 7, 10)])
    (change,) = with_price_change(july, sessions).where("trade_date = '2018-07-10'").collect()
    asked = july.selectExpr("ticker", "trade_date as as_of_date").where("as_of_date = '2018-07-10'")
    (adjusted,) = session_returns(asked, july, sessions, periods=(1,)).collect()
    assert round(change.price_change_percent) == -82
    assert round(adjusted.return_pct) == 11
