from __future__ import annotations

import datetime as dt

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from spark_app.schemas import BARS, QUOTES
from spark_app.transforms.market_caps import with_market_cap
from tests.transforms.frames import NOON, as_of_frame, asked_frame, bars_frame, frame, session

NAN = float("nan")


def _quotes(spark: SparkSession, *rows: tuple[int, int | None, float | None]) -> DataFrame:
    """Quotes of A from (session number, cap, price)."""
    whole = [("A", NOON, session(n), cap, price, "Long", "Short", NOON, "run", "test") for n, cap, price in rows]
    return frame(spark, whole, QUOTES)


def _cap_of_a(spark: SparkSession, as_of: int, quotes: DataFrame, bars: DataFrame) -> Row:
    row = with_market_cap(asked_frame(spark, [("A", as_of)]), quotes, bars).first()
    assert row is not None
    return row


def _new_york(number: int, hour: int) -> dt.datetime:
    """An hour of a session in New York's summer, in UTC."""
    return dt.datetime.combine(session(number), dt.time(0), dt.UTC) + dt.timedelta(hours=hour + 4)


def test_a_quote_of_the_day_counts_as_reported(spark: SparkSession) -> None:
    # The bar disagrees with the quoted price, or is not there at all: neither matters.
    quotes = _quotes(spark, (3, 1_000_003, 50.0), (2, 7, 7.0), (4, 8, 8.0))
    for bars in (bars_frame(spark, [("A", 3, 49.0)]), frame(spark, [], BARS)):
        row = _cap_of_a(spark, 3, quotes, bars)
        assert (row.market_cap, row.market_cap_basis) == (1_000_003, "quoted")


@pytest.mark.parametrize(
    ("quote_session", "basis", "cap"),
    [
        # 1,000,000 * 45 / 40 = 1,125,000
        (1, "quoted", 1_125_000),
        (8, "later_quote", 1_125_000),
    ],
)
def test_a_quote_of_another_day_is_scaled_by_the_close(
    spark: SparkSession, quote_session: int, basis: str, cap: int
) -> None:
    row = _cap_of_a(spark, 3, _quotes(spark, (quote_session, 1_000_000, 40.0)), bars_frame(spark, [("A", 3, 45.0)]))
    assert (row.market_cap, row.market_cap_basis, row.market_cap_unavailable_reason) == (cap, basis, None)


def test_a_half_dollar_rounds_up(spark: SparkSession) -> None:
    # 5 * 1 / 2 = 2.5, 7 * 1 / 2 = 3.5
    bars = bars_frame(spark, [("A", 3, 1.0)])
    caps = [_cap_of_a(spark, 3, _quotes(spark, (1, cap, 2.0)), bars).market_cap for cap in (5, 7)]
    assert caps == [3, 4]


def test_rounding_comes_after_the_splits(spark: SparkSession) -> None:
    # 1 * 1 / 3 * 4 = 1.33: rounding before the split would give 0.
    bars = bars_frame(spark, [("A", 2, 1.0), ("A", 3, 1.0)], splits={("A", 2): 4.0})
    assert _cap_of_a(spark, 3, _quotes(spark, (1, 1, 3.0)), bars).market_cap == 1


def test_a_split_between_quote_and_date_counts(spark: SparkSession) -> None:
    # Quoted at 80 before a 2:1 split, closing at 42 after it: 1,000,000 * 42 / 80 * 2.
    bars = bars_frame(spark, [("A", 1, 40.0), ("A", 2, 41.0), ("A", 3, 42.0)], splits={("A", 2): 2.0})
    row = _cap_of_a(spark, 3, _quotes(spark, (1, 1_000_000, 80.0)), bars)
    assert (row.market_cap, row.market_cap_basis) == (1_050_000, "quoted")


def test_splits_on_or_before_the_quotes_date_do_not_count(spark: SparkSession) -> None:
    # The quoted price of session 2 stands on the basis after the split of session 2.
    bars = bars_frame(spark, [("A", 1, 40.0), ("A", 2, 41.0), ("A", 3, 42.0)], splits={("A", 2): 2.0, ("A", 1): 3.0})
    assert _cap_of_a(spark, 3, _quotes(spark, (2, 1_000_000, 40.0)), bars).market_cap == 1_050_000


def test_a_split_after_the_date_that_restated_the_close_does_not_change_the_cap(spark: SparkSession) -> None:
    quotes = _quotes(spark, (1, 1_000_000, 40.0))
    before = bars_frame(spark, [("A", 1, 40.0), ("A", 3, 44.0)], fetched_at=_new_york(3, 17))
    # Session 8 splits 4:1; the closes fetched after it are a quarter of what they were.
    after = bars_frame(
        spark, [("A", 1, 10.0), ("A", 3, 11.0), ("A", 8, 12.0)], fetched_at=_new_york(8, 17), splits={("A", 8): 4.0}
    )
    caps = [_cap_of_a(spark, 3, quotes, bars).market_cap for bars in (before, after)]
    assert caps == [1_100_000, 1_100_000]


def test_a_split_after_the_closes_newest_fetch_is_not_in_it(spark: SparkSession) -> None:
    quotes = _quotes(spark, (1, 1_000_000, 40.0))
    split = bars_frame(spark, [("A", 8, 12.0)], splits={("A", 8): 4.0})
    # 23:30 in New York on session 7 is already the UTC day of session 8.
    late_evening = bars_frame(spark, [("A", 3, 44.0)], fetched_at=_new_york(7, 23) + dt.timedelta(minutes=30))
    ex_date = bars_frame(spark, [("A", 3, 11.0)], fetched_at=_new_york(8, 1))
    caps = [_cap_of_a(spark, 3, quotes, bars.unionByName(split)).market_cap for bars in (late_evening, ex_date)]
    assert caps == [1_100_000, 1_100_000]


def test_a_look_ahead_quote_needs_no_split(spark: SparkSession) -> None:
    # Quote and close both stand on the basis after the split of session 5.
    bars = bars_frame(spark, [("A", 3, 11.0), ("A", 5, 10.0)], splits={("A", 5): 4.0})
    row = _cap_of_a(spark, 3, _quotes(spark, (8, 1_000_000, 10.0)), bars)
    assert (row.market_cap, row.market_cap_basis) == (1_100_000, "later_quote")


def test_several_splits_multiply_and_broken_ratios_are_none(spark: SparkSession) -> None:
    # 1,000 * 10 / 60 * 2 * 3
    splits = {("A", 2): 2.0, ("A", 3): 3.0, ("A", 4): NAN, ("A", 5): 0.0}
    bars = bars_frame(spark, [("A", n, 10.0) for n in range(2, 7)], splits=splits)
    assert _cap_of_a(spark, 6, _quotes(spark, (1, 1_000, 60.0)), bars).market_cap == 1_000


@pytest.mark.parametrize(
    ("quotes", "close", "reason"),
    [
        ([], 10.0, "no quote"),
        ([(1, None, 10.0)], 10.0, "no market cap in the quote of 2023-05-02"),
        ([(1, 0, 10.0)], 10.0, "no market cap in the quote of 2023-05-02"),
        ([(3, -5, 10.0)], 10.0, "no market cap in the quote of 2023-05-04"),
        ([(1, 5, None)], 10.0, "no usable price in the quote of 2023-05-02"),
        ([(1, 5, NAN)], 10.0, "no usable price in the quote of 2023-05-02"),
        ([(1, 5, 0.0)], 10.0, "no usable price in the quote of 2023-05-02"),
        ([(1, 5, 10.0)], None, "no usable close on 2023-05-04"),
        ([(1, 5, 10.0)], NAN, "no usable close on 2023-05-04"),
        ([(1, 2**62, 1.0)], 100.0, "the market cap is too large to be stored"),
    ],
)
def test_without_a_usable_part_there_is_no_cap(
    spark: SparkSession, quotes: list[tuple[int, int | None, float | None]], close: float | None, reason: str
) -> None:
    row = _cap_of_a(spark, 3, _quotes(spark, *quotes), bars_frame(spark, [("A", 3, close)]))
    assert (row.market_cap, row.market_cap_basis, row.market_cap_unavailable_reason) == (None, None, reason)


def test_the_long_name_goes_before_the_short_one(spark: SparkSession) -> None:
    names = [("A", "Long", "Short"), ("B", None, "Short"), ("C", None, None)]
    rows = [(ticker, NOON, session(0), 5, 1.0, long, short, NOON, "run", "test") for ticker, long, short in names]
    asked = asked_frame(spark, [("A", 0), ("B", 0), ("C", 0)])
    actual_df = with_market_cap(asked, frame(spark, rows, QUOTES), frame(spark, [], BARS))
    assert {row.ticker: row.company_name for row in actual_df.collect()} == {"A": "Long", "B": "Short", "C": None}


def test_all_dates_in_one_pass_and_other_columns_stay(spark: SparkSession) -> None:
    asked = as_of_frame(spark, 0, 3, 8).selectExpr("'A' as ticker", "as_of_date", "'XLK' as etf_ticker")
    quotes = _quotes(spark, (3, 1_000, 10.0), (7, 3_000, 30.0))
    bars = bars_frame(spark, [("A", 0, 9.0), ("A", 3, 11.0), ("A", 8, 33.0)])
    actual_df = with_market_cap(asked, quotes, bars)
    assert actual_df.columns == [
        "ticker",
        "as_of_date",
        "etf_ticker",
        "company_name",
        "market_cap",
        "market_cap_basis",
        "market_cap_unavailable_reason",
    ]
    assert dict(actual_df.dtypes)["market_cap"] == "bigint"
    actual = {row.as_of_date: (row.market_cap, row.market_cap_basis) for row in actual_df.collect()}
    assert actual == {session(0): (900, "later_quote"), session(3): (1_000, "quoted"), session(8): (3_300, "quoted")}
