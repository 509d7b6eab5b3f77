from __future__ import annotations

import datetime as dt
from decimal import Decimal

from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession

from spark_app.schemas import ETF_HOLDINGS, HOLDINGS
from spark_app.transforms.holdings import ranked_holdings, sector_memberships, within_index
from spark_app.universe import Rename
from tests.transforms.frames import NOON, as_of_frame, columns_and_types, frame, served_types, session

MEMBERSHIPS = (
    "as_of_date date, ticker string, etf_ticker string, sector string, holding_percent decimal(9,6),"
    "snapshot_date date, is_look_ahead boolean"
)


def _holdings(spark: SparkSession, rows: list[tuple[str, dt.date, str, str]]) -> DataFrame:
    whole = [(fund, day, held, held.lower(), Decimal(p), NOON, "run-1", "test") for fund, day, held, p in rows]
    return frame(spark, whole, HOLDINGS)


def test_membership_takes_each_funds_own_snapshot(spark: SparkSession) -> None:
    holdings = _holdings(
        spark,
        [
            ("XLK", session(2), "OLD", "9"),
            ("XLK", session(4), "AAPL", "8"),
            ("XLE", session(7), "XOM", "7"),
            ("XLK", session(7), "MSFT", "6"),
            ("SPY", session(2), "NOT-A-SECTOR", "5"),
        ],
    )
    tech, energy = "Information Technology", "Energy"
    expected_df = frame(
        spark,
        [
            (session(1), "OLD", "XLK", tech, Decimal(9), session(2), True),
            (session(1), "XOM", "XLE", energy, Decimal(7), session(7), True),
            (session(5), "AAPL", "XLK", tech, Decimal(8), session(4), False),
            (session(5), "XOM", "XLE", energy, Decimal(7), session(7), True),
            (session(7), "MSFT", "XLK", tech, Decimal(6), session(7), False),
            (session(7), "XOM", "XLE", energy, Decimal(7), session(7), False),
        ],
        MEMBERSHIPS,
    )
    actual_df = sector_memberships(holdings, as_of_frame(spark, 1, 5, 7))
    assert_df_equality(actual_df, expected_df, ignore_row_order=True, ignore_nullable=True)


def test_a_stock_of_an_old_snapshot_is_known_by_its_newest_ticker(spark: SparkSession) -> None:
    before, on_the_day = session(2), session(3)
    renames = [
        Rename("FB", "META", on_the_day),
        # One company that was renamed twice, and an old ticker that a second company had later.
        Rename("SYMC", "NLOK", session(4)),
        Rename("NLOK", "GEN", session(8)),
        Rename("SYMC", "SYM", session(9)),
        # A rename back, and two companies that swapped their tickers on one day.
        Rename("FISV", "FI", session(3)),
        Rename("FI", "FISV", session(6)),
        Rename("A", "B", session(5)),
        Rename("B", "A", session(5)),
    ]
    named = {
        "XLB": (before, "SYMC", "GEN"),
        "XLC": (before, "FB", "META"),
        "XLE": (on_the_day, "FB", "FB"),
        "XLF": (session(8), "NLOK", "NLOK"),
        "XLI": (session(5), "SYMC", "SYM"),
        "XLK": (before, "FISV", "FISV"),
        "XLP": (before, "A", "B"),
        "XLRE": (before, "B", "A"),
        "XLU": (before, "AAPL", "AAPL"),
    }
    # What the fund calls by both tickers counts once.
    rows = [("XLC", before, "META", "1"), *((fund, day, old, "5") for fund, (day, old, _) in named.items())]
    members = sector_memberships(_holdings(spark, rows), as_of_frame(spark, 9), renames).collect()
    actual = {(row.etf_ticker, row.snapshot_date, row.ticker, row.holding_percent) for row in members}
    assert actual == {(fund, day, new, Decimal(5)) for fund, (day, _, new) in named.items()}
    assert len(members) == len(named)


def test_a_stock_belongs_once_where_its_percentage_is_largest(spark: SparkSession) -> None:
    day = session(0)
    holdings = _holdings(
        spark,
        [
            ("XLK", day, "TWO-FUNDS", "1"),
            ("XLC", day, "TWO-FUNDS", "3"),
            ("XLY", day, "EQUAL", "2"),
            ("XLP", day, "EQUAL", "2"),
            ("XLU", day, "TWICE", "1.5"),
            ("XLU", day, "TWICE", "2.5"),
        ],
    )
    rows = sector_memberships(holdings, as_of_frame(spark, 0)).collect()
    actual = sorted((row.ticker, row.etf_ticker, row.holding_percent) for row in rows)
    expected = [("EQUAL", "XLP", Decimal(2)), ("TWICE", "XLU", Decimal("2.5")), ("TWO-FUNDS", "XLC", Decimal(3))]
    assert actual == expected


def test_memberships_of_no_holdings_keep_the_schema(spark: SparkSession) -> None:
    actual_df = sector_memberships(frame(spark, [], HOLDINGS), as_of_frame(spark, 0))
    assert columns_and_types(actual_df.schema) == columns_and_types(frame(spark, [], MEMBERSHIPS).schema)
    assert actual_df.collect() == []


def test_holdings_rank_by_percentage_then_ticker_and_count_once(spark: SparkSession) -> None:
    day, older = session(5), session(4)
    holdings = _holdings(
        spark,
        [
            ("XLK", day, "MSFT", "20.5"),
            ("XLK", day, "AAPL", "20.5"),
            ("XLK", day, "NVDA", "30.000001"),
            ("XLK", day, "NVDA", "1"),
            ("XLK", older, "NVDA", "4"),
            ("SPY", day, "NVDA", "7"),
        ],
    )
    actual_df = ranked_holdings(holdings)
    assert columns_and_types(actual_df.schema) == served_types(ETF_HOLDINGS)
    shown = ("etf_ticker", "as_of_date", "holding_ticker", "holding_rank", "holding_percent", "coverage_percent")
    actual = sorted(tuple(row[name] for name in shown) for row in actual_df.collect())
    all_three = Decimal("71.000001")
    assert actual == [
        ("SPY", day, "NVDA", 1, Decimal(7), Decimal(7)),
        ("XLK", older, "NVDA", 1, Decimal(4), Decimal(4)),
        ("XLK", day, "AAPL", 2, Decimal("20.5"), all_three),
        ("XLK", day, "MSFT", 3, Decimal("20.5"), all_three),
        ("XLK", day, "NVDA", 1, Decimal("30.000001"), all_three),
    ]
    kinds = {(row.etf_ticker, row.etf_type, row.sector_name) for row in actual_df.collect()}
    assert kinds == {("SPY", "benchmark", None), ("XLK", "sector", "Information Technology")}


def test_ranking_no_holdings_keeps_the_schema(spark: SparkSession) -> None:
    actual_df = ranked_holdings(frame(spark, [], HOLDINGS))
    assert columns_and_types(actual_df.schema) == served_types(ETF_HOLDINGS)
    assert actual_df.collect() == []


def test_the_index_knows_a_stock_by_its_tickers_of_the_time(spark: SparkSession) -> None:
    renamed = Rename("FB", "META", session(5))
    # FB until the rename, META from then on; later another company has the ticker FB.
    spans = [("FB", session(0), session(5)), ("META", session(5), None), ("FB", session(7), None)]
    index = frame(spark, spans, "ticker string, start_date date, end_date date")
    dates = [session(number) for number in (0, 4, 5, 8)]
    asked = [(date, ticker) for date in dates for ticker in ("FB", "META")]
    memberships = frame(spark, asked, "as_of_date date, ticker string")
    kept = {(row.as_of_date, row.ticker) for row in within_index(memberships, index, [renamed]).collect()}
    assert kept == {*((date, "META") for date in dates), (session(8), "FB")}
