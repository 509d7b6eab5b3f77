from __future__ import annotations

import datetime as dt

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

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


def test_only_a_split_of_shares_scales_the_cap(spark: SparkSession) -> None:
    in_may = dt.date(2023, 5, 3)
    # ticker, day of the split, listed ratio, new shares per old share; A to M by the smaller term in lowest terms.
    cases = [
        *(("A", in_may, 10.0, 10.0), ("B", in_may, 0.125, 0.125), ("C", in_may, 1 / 3, 1 / 3)),  # 1
        *(("D", in_may, 1.5, 1.5), ("E", in_may, 5 / 3, 5 / 3), ("F", in_may, 1.25, 1.25)),  # 2, 3, 4
        *(("G", in_may, 1.05, 1.05), ("H", in_may, 1.04, 1.0)),  # 20, 25
        *(("I", in_may, 1.275, 1.0), ("J", in_may, 40 / 51, 1.0)),  # 40
        *(("K", in_may, 1.03, 1.0), ("L", in_may, 1.253, 1.0), ("M", in_may, 1000 / 2649, 1.0)),  # 100, 1000, 1000
        ("WTW", dt.date(2016, 1, 5), 1000 / 2649, 1000 / 2649),
        ("TR", dt.date(2023, 3, 3), 1.03, 1.03),
        ("HLT", dt.date(2017, 1, 4), 0.4873294346978557, 1 / 3),
        ("DD", dt.date(2019, 6, 3), 0.4725, 1 / 3),
    ]
    # Quoted at 10 on the day before, closing at 10 on the day of the split.
    quotes = [
        (ticker, NOON, day - dt.timedelta(days=1), 10**15, 10.0, "Long", "Short", NOON, "run", "test")
        for ticker, day, _, _ in cases
    ]
    bars = [(t, day, 10.0, 10.0, 10.0, 10.0, 10.0, 100, 0.0, ratio, NOON, "run", "test") for t, day, ratio, _ in cases]
    asked = frame(spark, [(ticker, day) for ticker, day, _, _ in cases], "ticker string, as_of_date date")
    actual_df = with_market_cap(asked, frame(spark, quotes, QUOTES), frame(spark, bars, BARS))
    expected = {ticker: pytest.approx(10**15 * shares, rel=1e-12) for ticker, _, _, shares in cases}
    assert {row.ticker: row.market_cap for row in actual_df.collect()} == expected


def test_an_override_is_for_its_days_only(spark: SparkSession) -> None:
    # DD's 1487:1000 of 2019-04-02 was a spin-off; session 1 is in 2023.
    bars = bars_frame(spark, [("A", 1, 10.0)]).selectExpr("'DD' as ticker", "* except (ticker)")
    split = bars.withColumns({"split_ratio": F.lit(1.487), "trade_date": F.lit(dt.date(2019, 4, 2))})
    quote = _quotes(spark, (0, 1_000, 10.0)).withColumns(
        {"ticker": F.lit("DD"), "quote_date": F.lit(dt.date(2019, 4, 1))}
    )
    (row,) = with_market_cap(asked_frame(spark, [("DD", 1)]), quote, bars.unionByName(split)).collect()
    assert row.market_cap == 1_000


def test_a_split_staged_twice_counts_once_on_the_later_date(spark: SparkSession) -> None:
    # Sessions 4 and 5 are a Friday and the Monday after it. Quoted at 400 before the one split 10:1, closing at 40.
    bars = bars_frame(spark, [("A", n, 40.0) for n in range(8)], splits={("A", 4): 10.0, ("A", 5): 10.0})
    caps = [_cap_of_a(spark, 7, _quotes(spark, (n, 1_000_000, 400.0)), bars).market_cap for n in (3, 4)]
    assert caps == [1_000_000, 1_000_000]
    after = _cap_of_a(spark, 7, _quotes(spark, (5, 1_000_000, 40.0)), bars)
    assert after.market_cap == 1_000_000


def test_the_same_ratio_more_than_ten_sessions_apart_counts_each_time(spark: SparkSession) -> None:
    # Session 14 is 14 days after session 4, session 15 is 17: 1,000 * 10 / 40 * 2 * 2, and 1,000 * 10 / 20 * 2.
    for second, price in ((15, 40.0), (14, 20.0)):
        bars = bars_frame(spark, [("A", n, 10.0) for n in range(16)], splits={("A", 4): 2.0, ("A", second): 2.0})
        assert _cap_of_a(spark, 15, _quotes(spark, (3, 1_000, price)), bars).market_cap == 1_000


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
        "quote_date",
        "market_cap_basis",
        "market_cap_unavailable_reason",
    ]
    assert dict(actual_df.dtypes)["market_cap"] == "bigint"
    actual = {row.as_of_date: (row.market_cap, row.market_cap_basis) for row in actual_df.collect()}
    assert actual == {session(0): (900, "later_quote"), session(3): (1_000, "quoted"), session(8): (3_300, "quoted")}
