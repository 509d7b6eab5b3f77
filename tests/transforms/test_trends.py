from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_app import market_calendar
from spark_app.schemas import BARS, SECTOR_TRENDS
from spark_app.transforms.trends import sector_trends
from spark_app.universe import SECTOR_NAMES, Universe
from tests.transforms.frames import as_of_frame, bars_frame, columns_and_types, frame, session, sessions_frame


def _trends(spark: SparkSession, bars: DataFrame, *as_of: int, last: int = 5) -> dict[str, tuple[object, ...]]:
    trends = sector_trends(bars, sessions_frame(spark, last), as_of_frame(spark, *as_of), periods=(5,))
    shown = ("return_pct", "benchmark_return_pct", "is_trending", "rank", "unavailable_reason")
    return {row.etf_ticker: tuple(row[name] for name in shown) for row in trends.collect()}


def _moves(**percent: float) -> list[tuple[str, int, float | None]]:
    return [bar for ticker, p in percent.items() for bar in ((ticker, 0, 100.0), (ticker, 5, 100.0 + p))]


def test_a_sector_trends_above_the_benchmark_and_above_zero(spark: SparkSession) -> None:
    actual = _trends(spark, bars_frame(spark, _moves(SPY=2, XLB=1, XLE=2, XLF=3, XLK=7, XLU=-1)), 5)
    spy = Decimal("2.000000")
    assert actual["XLK"] == (Decimal("7.000000"), spy, True, 1, None)
    assert actual["XLF"] == (Decimal("3.000000"), spy, True, 2, None)
    assert actual["XLE"] == (spy, spy, False, 3, None)
    assert actual["XLB"] == (Decimal("1.000000"), spy, False, 4, None)
    assert actual["XLU"] == (Decimal("-1.000000"), spy, False, 5, None)


def test_a_sector_that_falls_less_than_the_benchmark_does_not_trend(spark: SparkSession) -> None:
    actual = _trends(spark, bars_frame(spark, _moves(SPY=-3, XLB=-1, XLE=0, XLF=0.5)), 5)
    assert [actual[fund][2] for fund in ("XLB", "XLE", "XLF")] == [False, False, True]


def test_flags_come_from_the_rounded_returns(spark: SparkSession) -> None:
    # Both round to 1.000000 percent: 101.0000002 / 100 is above 101 / 100 only before rounding.
    actual = _trends(spark, bars_frame(spark, _moves(SPY=1, XLB=1.0000002)), 5)
    assert actual["XLB"] == (Decimal("1.000000"), Decimal("1.000000"), False, 1, None)


def test_equal_returns_rank_by_ticker_without_gaps(spark: SparkSession) -> None:
    actual = _trends(spark, bars_frame(spark, _moves(SPY=0, XLY=4, XLB=4, XLK=4, XLU=1)), 5)
    assert {fund: row[3] for fund, row in actual.items() if row[3]} == {"XLB": 1, "XLK": 2, "XLY": 3, "XLU": 4}


def test_a_sector_without_a_bar_keeps_the_benchmark_beside_its_reason(spark: SparkSession) -> None:
    actual = _trends(spark, bars_frame(spark, [*_moves(SPY=2, XLB=1), ("XLC", 5, 10.0)]), 5)
    assert actual["XLC"] == (None, Decimal("2.000000"), False, None, "no bar on 2023-05-01")
    assert actual["XLV"] == (None, Decimal("2.000000"), False, None, "no bar on 2023-05-08")
    assert len(actual) == len(SECTOR_NAMES)


def test_on_the_fourth_of_january_1999_only_the_funds_of_then_have_returns(spark: SparkSession) -> None:
    as_of = dt.date(1999, 1, 4)
    days = market_calendar.sessions_ending(as_of, 11)
    # The first sector funds were listed on 1998-12-22, more than five sessions before and less than ten.
    listed = [("XLK", day, 100.0 + day.day) for day in days if day >= dt.date(1998, 12, 22)]
    prices = [("SPY", day, 100.0) for day in days] + listed
    bars = frame(spark, prices, "ticker string, trade_date date, adj_close_price double")
    sessions = frame(spark, list(zip(days, range(11), strict=True)), "trade_date date, session_number int")
    asked = frame(spark, [(as_of,)], "as_of_date date")
    trends = sector_trends(bars, sessions, asked, periods=(5, 10)).collect()
    found = {(row.etf_ticker, row.period_days): (row.return_pct, row.unavailable_reason) for row in trends}
    # From 124 on 1998-12-24 to 104.
    assert found["XLK", 5] == (Decimal("-16.129032"), None)
    assert found["XLK", 10] == (None, "listed since 1998-12-22")
    assert found["XLC", 5] == found["XLC", 10] == (None, "listed since 2018-06-19")
    assert found["XLRE", 5] == (None, "listed since 2015-10-08")
    # This one was listed, and its bar is missing.
    assert found["XLE", 5] == (None, "no bar on 1999-01-04")


def test_a_missing_benchmark_makes_the_period_unavailable_for_all(spark: SparkSession) -> None:
    actual = _trends(spark, bars_frame(spark, [*_moves(XLB=1), ("SPY", 5, 10.0)]), 5)
    assert set(actual.values()) == {(None, None, False, None, "SPY: no bar on 2023-05-01")}
    assert len(actual) == len(SECTOR_NAMES)


@pytest.mark.parametrize(
    ("spy", "code"),
    [
        ([("SPY", 5, 10.0)], "no_bar_at_start"),
        ([("SPY", 0, 10.0)], "no_bar_at_end"),
        ([("SPY", 0, 10.0), ("SPY", 5, -1.0)], "no_usable_price_at_end"),
    ],
)
def test_codes_tell_a_missing_benchmark_from_a_missing_fund(
    spark: SparkSession, spy: list[tuple[str, int, float | None]], code: str
) -> None:
    bars = bars_frame(spark, [*_moves(XLB=1), ("XLC", 5, 10.0), *spy])
    trends = sector_trends(bars, sessions_frame(spark, 5), as_of_frame(spark, 5), periods=(5,)).collect()
    assert {(row.unavailable_code, row.benchmark_unavailable_code) for row in trends} == {
        ("benchmark_unavailable", code)
    }


def test_codes_of_the_funds_where_the_benchmark_has_a_return(spark: SparkSession) -> None:
    bars = bars_frame(spark, [*_moves(SPY=2, XLB=1), ("XLC", 5, 10.0)])
    trends = sector_trends(bars, sessions_frame(spark, 5), as_of_frame(spark, 5), periods=(5,)).collect()
    codes = {row.etf_ticker: (row.unavailable_code, row.benchmark_unavailable_code) for row in trends}
    assert codes["XLB"] == (None, None)
    assert codes["XLC"] == ("no_bar_at_start", None)
    assert codes["XLV"] == ("no_bar_at_end", None)


def test_every_date_sector_and_period_has_one_row(spark: SparkSession) -> None:
    trends = sector_trends(bars_frame(spark, _moves(SPY=2)), sessions_frame(spark, 30), as_of_frame(spark, 20, 30))
    assert columns_and_types(trends.schema) == columns_and_types(SECTOR_TRENDS)
    actual = [(row.as_of_date, row.etf_ticker, row.period_days, row.sector_name) for row in trends.collect()]
    expected = [
        (session(n), fund, period, name)
        for n in (20, 30)
        for fund, name in SECTOR_NAMES.items()
        for period in (5, 10, 20)
    ]
    assert sorted(actual) == sorted(expected)


def test_bars_after_the_date_change_nothing(spark: SparkSession) -> None:
    known = _moves(SPY=2, XLB=1, XLK=3)
    later = [(ticker, 6, 5.0) for ticker in ("SPY", "XLB", "XLK")]
    assert _trends(spark, bars_frame(spark, [*known, *later]), 5, last=8) == _trends(spark, bars_frame(spark, known), 5)


def test_no_dates_keep_the_schema(spark: SparkSession) -> None:
    actual_df = sector_trends(frame(spark, [], BARS), sessions_frame(spark, 5), as_of_frame(spark))
    assert columns_and_types(actual_df.schema) == columns_and_types(SECTOR_TRENDS)
    assert actual_df.collect() == []


def test_a_fund_that_did_not_exist_yet_is_unavailable(spark: SparkSession) -> None:
    young = Universe("B", {"Old": "Old", "Young": "Young"}, {"Young": session(4)})
    bars = bars_frame(
        spark, [(t, n, 10.0 + n) for t in ("B", "Old", "Young") for n in range(10) if t != "Young" or n > 3]
    )
    trends = sector_trends(bars, sessions_frame(spark, 9), as_of_frame(spark, 3, 5, 9), periods=(3,), universe=young)
    told = {(r.etf_ticker, r.as_of_date): (r.unavailable_code, r.unavailable_reason) for r in trends.collect()}
    assert told["Young", session(3)] == ("not_listed", "listed since 2023-05-05")
    assert told["Young", session(5)] == ("not_listed", "listed since 2023-05-05")
    assert told["Young", session(9)] == told["Old", session(3)] == (None, None)


def test_another_universe_with_other_periods_goes_through_the_same_rules(spark: SparkSession) -> None:
    industries = Universe("Mkt", {"NoDur": "Goods", "Durbl": "Cars"}, {}, sessions="data", periods_a_year=12)
    closes = bars_frame(spark, [("Mkt", 0, 100.0), ("Mkt", 1, 101.0), ("NoDur", 0, 100.0), ("NoDur", 1, 103.0)])
    closes = closes.select("ticker", "trade_date", "adj_close_price")
    rows = sector_trends(closes, sessions_frame(spark, 1), as_of_frame(spark, 1), periods=(1,), universe=industries)
    found = {row.etf_ticker: (row.sector_name, row.return_pct, row.is_trending, row["rank"]) for row in rows.collect()}
    assert found == {"NoDur": ("Goods", Decimal(3), True, 1), "Durbl": ("Cars", None, False, None)}
