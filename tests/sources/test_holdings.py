from __future__ import annotations

import pytest

from spark_app.sources.bodies import FetchError
from spark_app.sources.contract import Holding, Outcome, SkippedHolding
from spark_app.sources.holdings import classify_holding, find_skipped_holdings, split_holdings, sum_of_weights
from spark_app.sources.skipped import describe_skipped

NO_US_SHARE = "its ticker is not that of a share listed in the United States"


@pytest.mark.parametrize(
    ("symbol", "ticker"),
    [("BRK.B", "BRK-B"), ("BRK/B", "BRK-B"), ("brk b", "BRK-B"), ("LIN UW", "LIN"), ("AAPL UW Equity", "AAPL")],
)
def test_a_share_gets_yahoos_spelling(symbol: str, ticker: str) -> None:
    assert classify_holding(symbol, "A COMPANY", 12.85) == Holding(ticker, "A COMPANY", 12.85)


@pytest.mark.parametrize(
    ("symbol", "name", "reason"),
    [
        ("-", "SSI US GOV MONEY MARKET CLASS", "money-market fund"),
        ("GVMXX", None, "money-market fund"),
        ("IXTH6", "XAK TECHNOLOGY MAR26", "future"),
        ("-", "US DOLLAR", "cash"),
        ("912797", "UNITED STATES TREASURY BILL", "treasury"),
        ("", "SWAP", "it has no ticker"),
        ("VOD LN", "VODAFONE", NO_US_SHARE),
        ("VOD.L", "VODAFONE", NO_US_SHARE),
        ("7203.T", "TOYOTA", NO_US_SHARE),
    ],
)
def test_what_is_no_share_has_its_reason(symbol: str, name: str | None, reason: str) -> None:
    row = classify_holding(symbol, name, 0.5)
    assert isinstance(row, SkippedHolding)
    assert row.reason == reason


def shares(*weights: float) -> list[Holding | SkippedHolding]:
    return [Holding(letter * 2, letter, weight) for letter, weight in zip("ABCDEFG", weights, strict=False)]


def test_a_little_skipped_weight_is_kept_beside_the_shares() -> None:
    swap = SkippedHolding("SWAP1", "A SWAP", 5.0, NO_US_SHARE)
    assert split_holdings([*shares(95.0), swap], 5.0) == ((Holding("AA", "A", 95.0),), (swap,))


def test_much_skipped_weight_refuses_the_snapshot_and_names_the_largest_rows() -> None:
    rows = [SkippedHolding(f"X{n} ZZ", f"COMPANY {n}", float(n), NO_US_SHARE) for n in (1, 20, 3, 40)]
    with pytest.raises(FetchError) as caught:
        split_holdings([*shares(36.0), *rows], 5.0)
    assert caught.value.outcome is Outcome.MALFORMED
    assert str(caught.value) == (
        "skipped rows carry 64.00 % of the fund, and gate.skipped_holdings_percent allows 5 %: "
        "X40 ZZ COMPANY 40 (40 %), X20 ZZ COMPANY 20 (20 %), X3 ZZ COMPANY 3 (3 %)"
    )


@pytest.mark.parametrize("percent", [-6.0, 6.0, 250.0])
def test_the_size_of_a_short_or_leveraged_position_counts(percent: float) -> None:
    row = classify_holding("AAPL" if abs(percent) > 100 or percent < 0 else "", "APPLE INC", percent)
    with pytest.raises(FetchError, match="APPLE INC"):
        split_holdings([*shares(50.0), row], 5.0)


@pytest.mark.parametrize("reason", ["cash", "future", "money-market fund", "treasury"])
def test_any_weight_of_a_known_kind_is_no_loss(reason: str) -> None:
    row = SkippedHolding(None, "ANY", 40.0, reason)
    assert split_holdings([*shares(60.0), row], 5.0)[1] == (row,)


def test_a_row_without_a_weight_takes_no_part_in_the_judgement() -> None:
    rows = [SkippedHolding("A NOTE", None, None, NO_US_SHARE), SkippedHolding("AAPL", None, float("inf"), "too large")]
    assert split_holdings([*shares(60.0), *rows], 0.0)[1] == tuple(rows)


def test_short_positions_count_negative_in_the_sum() -> None:
    assert sum_of_weights([*shares(60.0, 45.0), SkippedHolding(None, "US DOLLAR", -5.0, "cash")]) == 100.0
    assert sum_of_weights([SkippedHolding(None, "A NOTE", None, "it has no ticker")]) is None


def test_skipped_rows_of_no_known_kind_are_told() -> None:
    rows = [
        SkippedHolding(None, "US DOLLAR", 0.5, "cash"),
        SkippedHolding("2602335D", "CONTRA HOLOGIC", 0.25, NO_US_SHARE),
        SkippedHolding(None, "* A footnote", None, "it has no ticker"),
    ]
    assert describe_skipped(rows=find_skipped_holdings(rows)) == (
        f"rows skipped, {NO_US_SHARE}: 2602335D; it has no ticker: * A footnote",
        "2602335D CONTRA HOLOGIC (0.25 %); * A footnote (no weight)",
    )
    assert describe_skipped(rows=find_skipped_holdings(rows[:1])) == (None, None)


@pytest.mark.parametrize("symbol", ["", "-", "N/A", " n/a "])
def test_a_symbol_that_stands_for_none_is_no_share_class(symbol: str) -> None:
    row = classify_holding(symbol, "ESCROW", 0.5)
    assert isinstance(row, SkippedHolding)
    assert (row.holding_ticker, row.reason) == (None, "it has no ticker")
