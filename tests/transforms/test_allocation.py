"""From bars, holdings and quotes to a portfolio, on a market small enough to compute by hand."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession

from spark_app.schemas import HOLDINGS, PORTFOLIO_ALLOCATION, PORTFOLIO_EXCLUSION, QUOTES
from spark_app.transforms.allocation import (
    MarketFrames,
    portfolio_decisions,
    portfolio_exclusions,
    portfolio_positions,
)
from spark_app.transforms.holdings import sector_memberships
from spark_app.transforms.options import PortfolioOptions
from spark_app.transforms.trends import sector_trends
from tests.transforms.frames import (
    NOON,
    as_of_frame,
    bars_frame,
    columns_and_types,
    frame,
    served_types,
    session,
    sessions_frame,
    share_classes_frame,
)

OPTIONS = PortfolioOptions(top_n_per_sector=2)
# Close on sessions 0, 10, 15, 20 and 21; every fund and stock starts at 100.
CLOSES = {
    "SPY": (100, 100, 100, 102, 101),
    "XLK": (100, 105, 110, 110, 90),
    "XLE": (100, 100, 100, 101, 120),
    "AAPL": (100, 110, 120, 130, 60),
    "MSFT": (100, 110, 115, 120, 60),
    "NVDA": (100, 100, 100, 115, 60),
    "INTC": (100, 100, 100, 110, 60),
    "AMD": (100, 100, 100, 140, 60),
    "XOM": (100, 100, 100, 150, 130),
}
HOLDINGS_PERCENT = {"AAPL": "20", "MSFT": "15", "NVDA": "10", "INTC": "3", "AMD": "2", "GONE": "1", "XOM": "25"}
CAPS = {"AAPL": 3_000, "MSFT": 1_000, "NVDA": 500, "INTC": 100, "XOM": 400}
NUMBERS = (0, 10, 15, 20, 21)


def _closes(last: int = 21) -> list[tuple[str, int, float | None]]:
    return [(t, n, float(c)) for t, closes in CLOSES.items() for n, c in zip(NUMBERS, closes, strict=True) if n <= last]


def _market(spark: SparkSession, bars: DataFrame, dates: DataFrame) -> MarketFrames:
    holdings = [
        ("XLE" if held == "XOM" else "XLK", session(20), held, None, Decimal(p), NOON, "run", "test")
        for held, p in HOLDINGS_PERCENT.items()
    ]
    quotes = [(t, NOON, session(20), cap, 1.0, f"{t} Inc", t, NOON, "run", "test") for t, cap in CAPS.items()]
    return MarketFrames(
        bars=bars,
        memberships=sector_memberships(frame(spark, holdings, HOLDINGS), dates),
        quotes=frame(spark, quotes, QUOTES),
        sessions=sessions_frame(spark, 25),
        share_classes=share_classes_frame(spark),
    )


def _decisions(
    spark: SparkSession, bars: DataFrame, as_of: Sequence[int], options: PortfolioOptions = OPTIONS
) -> DataFrame:
    dates = as_of_frame(spark, *as_of)
    market = _market(spark, bars, dates)
    return portfolio_decisions(market, sector_trends(bars, market.sessions, dates), options)


@pytest.fixture(scope="module")
def decided(spark: SparkSession) -> DataFrame:
    """The decisions on session 20, persisted."""
    return _decisions(spark, bars_frame(spark, _closes()), [20]).localCheckpoint()


def test_a_portfolio_worked_out_by_hand(decided: DataFrame) -> None:
    # XLK +10 % against SPY's 2 % trends, XLE +1 % does not. AAPL +30 and MSFT +20 beat XLK and take the two
    # places; NVDA +15 comes third; INTC +10 is not above XLK's 10; AMD +40 has no quote; GONE has no bars.
    positions = portfolio_positions(decided, OPTIONS)
    assert columns_and_types(positions.schema) == served_types(PORTFOLIO_ALLOCATION)
    actual = {row.ticker: row.asDict() for row in positions.collect()}
    assert set(actual) == {"AAPL", "MSFT"}
    assert actual["MSFT"] == {
        "as_of_date": session(20),
        "ticker": "MSFT",
        "company_name": "MSFT Inc",
        "sector": "Information Technology",
        "market_cap": 1_000,
        "market_cap_basis": "quoted",
        # 120 / 115, 120 / 110, 120 / 100; XLK 110 / 110, 110 / 105, 110 / 100.
        "return_5d": Decimal("4.347826"),
        "sector_avg_5d": Decimal("0.000000"),
        # XLK's 0 % over 5 sessions is below SPY's 2 %: the sector does not trend over them, so the stock neither.
        "is_trending_5d": False,
        # AMD +40, NVDA +15, INTC +10 and AAPL 130 / 120 = +8.3 are above it.
        "rank_5d": 5,
        "return_10d": Decimal("9.090909"),
        "sector_avg_10d": Decimal("4.761905"),
        "is_trending_10d": True,
        "rank_10d": 5,
        "return_20d": Decimal("20.000000"),
        "sector_avg_20d": Decimal("10.000000"),
        "is_trending_20d": True,
        # AMD +40 and AAPL +30 are above it.
        "rank_20d": 3,
        "portfolio_weight": Decimal("0.25000000"),
        "allocation_reason": "Information Technology trends over 20 sessions;"
        " MSFT returned 20.000000 % against 10.000000 % of XLK, rank 3 in its sector",
        "is_max_weight_exceeded": False,
        "holdings_date": session(20),
        "quote_date": session(20),
        "is_look_ahead": False,
    }
    assert actual["AAPL"]["portfolio_weight"] == Decimal("0.75000000")


def test_every_other_member_has_its_exclusion(decided: DataFrame) -> None:
    exclusions = portfolio_exclusions(decided)
    assert columns_and_types(exclusions.schema) == served_types(PORTFOLIO_EXCLUSION)
    sector, snapshot = "Information Technology", (session(20), False)
    actual = sorted(tuple(row) for row in exclusions.collect())
    assert actual == [
        (session(20), "AMD", sector, "no_market_cap", "no quote", *snapshot),
        (session(20), "GONE", sector, "missing_bars", "no bar on 2023-05-29", *snapshot),
        (
            *(session(20), "INTC", sector, "not_trending"),
            "10.000000 % over 20 sessions is not above the 10.000000 % of XLK",
            *snapshot,
        ),
        (
            *(session(20), "NVDA", sector, "below_top_n"),
            "number 3 of the candidates of Information Technology by 20-session return; at most 2 are held",
            *snapshot,
        ),
    ]


REASON = "; too few positions for a largest weight of 0.4, so all weights are equal"


@pytest.mark.parametrize(
    ("max_weight", "weights", "is_exceeded"),
    [
        ("0.6", {"AAPL": "0.60000000", "MSFT": "0.40000000"}, False),
        ("0.4", dict.fromkeys(("AAPL", "MSFT"), "0.50000000"), True),
    ],
)
def test_a_largest_weight_never_leaves_a_date_without_a_portfolio(
    decided: DataFrame, max_weight: str, weights: dict[str, str], is_exceeded: bool
) -> None:
    # A weight comes after the decisions, which know no largest one.
    options = PortfolioOptions(top_n_per_sector=2, max_weight=Decimal(max_weight))
    positions = portfolio_positions(decided, options).collect()
    assert {row.ticker: str(row.portfolio_weight) for row in positions} == weights
    assert [row.is_max_weight_exceeded for row in positions] == [is_exceeded] * 2
    assert [row.allocation_reason.endswith(REASON) for row in positions] == [is_exceeded] * 2


def test_the_basis_period_decides(spark: SparkSession) -> None:
    # Over 5 sessions XLK's 0 % and XLE's 1 % stay below SPY's 2 %.
    options = PortfolioOptions(basis_sessions=5)
    decisions = _decisions(spark, bars_frame(spark, _closes()), [20], options)
    assert portfolio_positions(decisions, options).collect() == []


def test_without_a_trending_sector_the_tables_are_empty_with_their_schemas(spark: SparkSession) -> None:
    decisions = _decisions(spark, bars_frame(spark, [(t, n, 100.0) for t in CLOSES for n in (0, 20)]), [20])
    decisions = decisions.localCheckpoint()
    positions, exclusions = portfolio_positions(decisions, OPTIONS), portfolio_exclusions(decisions)
    assert columns_and_types(positions.schema) == served_types(PORTFOLIO_ALLOCATION)
    assert columns_and_types(exclusions.schema) == served_types(PORTFOLIO_EXCLUSION)
    assert (positions.collect(), exclusions.collect()) == ([], [])


def test_without_the_benchmark_there_is_no_position(spark: SparkSession) -> None:
    bars = bars_frame(spark, [bar for bar in _closes() if bar[0] != "SPY"])
    assert _decisions(spark, bars, [20]).collect() == []


def test_bars_after_the_date_change_nothing(spark: SparkSession) -> None:
    known = bars_frame(spark, _closes(last=20))
    later = bars_frame(spark, [(t, n, 1.0) for t in CLOSES for n in (21, 22)])
    decisions = [_decisions(spark, bars, [20]).localCheckpoint() for bars in (known, known.unionByName(later))]
    assert_df_equality(decisions[1], decisions[0], ignore_row_order=True, ignore_nullable=True)
    assert decisions[0].count() == 6


def test_several_dates_in_one_pass_equal_each_alone(spark: SparkSession) -> None:
    # Every ticker also has bars on session 1, so that session 21 has its 20-session return: XLE +20 % trends then.
    bars = bars_frame(spark, [*_closes(), *[(t, 1, 100.0) for t in CLOSES]])
    together = _decisions(spark, bars, [20, 21]).localCheckpoint()
    alone = [_decisions(spark, bars, [n]) for n in (20, 21)]
    expected_df = alone[0].unionByName(alone[1])
    assert_df_equality(together, expected_df, ignore_row_order=True, ignore_nullable=True)
    held = {(row.as_of_date, row.ticker): row for row in portfolio_positions(together, OPTIONS).collect()}
    assert set(held) == {(session(20), "AAPL"), (session(20), "MSFT"), (session(21), "XOM")}
    # XOM's quote of session 20 says 400 at a price of 1; it closes at 130.
    assert (held[session(21), "XOM"].market_cap, held[session(21), "XOM"].portfolio_weight) == (52_000, Decimal(1))
