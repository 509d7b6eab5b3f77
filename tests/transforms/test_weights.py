from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from spark_app.transforms.weights import with_portfolio_weight
from tests.transforms.frames import FEW_EXAMPLES, frame, session

POSITIONS = "as_of_date date, ticker string, market_cap bigint"


def _weights(spark: SparkSession, caps: dict[str, int], max_weight: str | None = None) -> dict[str, str]:
    positions = frame(spark, [(session(0), ticker, cap) for ticker, cap in caps.items()], POSITIONS)
    limit = None if max_weight is None else Decimal(max_weight)
    weighted = with_portfolio_weight(positions, max_weight=limit)
    assert dict(weighted.dtypes)["portfolio_weight"] == "decimal(9,8)"
    return {row.ticker: format(row.portfolio_weight, "f") for row in weighted.collect()}


@pytest.mark.parametrize(
    ("caps", "expected"),
    [
        ({"A": 7}, {"A": "1.00000000"}),
        ({"A": 3, "B": 1}, {"A": "0.75000000", "B": "0.25000000"}),
        # 33,333,333 units each and one left over: equal remainders, so it goes to the first by ticker.
        ({"C": 5, "A": 5, "B": 5}, {"A": "0.33333334", "B": "0.33333333", "C": "0.33333333"}),
        # 2/7 = .285714285|7, 4/7 = .571428571|4, 1/7 = .142857142|8 (rounded down to 8 digits: .28571428,
        # .57142857, .14285714); one unit is left, and .714 of a unit (2/7) is the largest remainder.
        ({"A": 4, "B": 2, "C": 1}, {"A": "0.57142857", "B": "0.28571429", "C": "0.14285714"}),
        # One dollar beside the largest number that a market cap can be.
        ({"BIG": 2**63 - 1, "TINY": 1}, {"BIG": "1.00000000", "TINY": "0.00000000"}),
    ],
)
def test_weights_are_shares_that_sum_to_one(
    spark: SparkSession, caps: dict[str, int], expected: dict[str, str]
) -> None:
    assert _weights(spark, caps) == expected


def test_the_excess_goes_to_the_others_in_proportion(spark: SparkSession) -> None:
    # 60, 20, 10, 10 % with at most 40 %: 60 % are left for 20 + 10 + 10, one half of them for B.
    actual = _weights(spark, {"A": 60, "B": 20, "C": 10, "D": 10}, "0.4")
    assert actual == {"A": "0.40000000", "B": "0.30000000", "C": "0.15000000", "D": "0.15000000"}


def test_sharing_out_goes_on_until_none_exceeds(spark: SparkSession) -> None:
    # At most 40 %: A goes down to 40, B's share of the other 60 is 60 * 25 / 40 = 37.5.
    assert _weights(spark, {"A": 60, "B": 25, "C": 15}, "0.4")["B"] == "0.37500000"
    # At most 35 %: A to 35, then B would have 65 * 25 / 40 = 40.6, so B to 35, and C has what is left.
    actual = _weights(spark, {"A": 60, "B": 25, "C": 15}, "0.35")
    assert actual == {"A": "0.35000000", "B": "0.35000000", "C": "0.30000000"}


def test_a_limit_that_just_suffices_makes_all_equal(spark: SparkSession) -> None:
    assert set(_weights(spark, {"A": 90, "B": 5, "C": 4, "D": 1}, "0.25").values()) == {"0.25000000"}


def test_too_few_positions_for_the_limit_have_equal_weights(spark: SparkSession) -> None:
    # 3 x 0.33333333 is 0.99999999: the missing unit goes to the first ticker.
    expected = {"A": "0.33333334", "B": "0.33333333", "C": "0.33333333"}
    assert _weights(spark, {"A": 5, "B": 900, "C": 1}, "0.33333333") == expected
    assert _weights(spark, {"A": 5}, "0.5") == {"A": "1.00000000"}


def test_a_limit_is_exceeded_only_on_dates_with_too_few_positions(spark: SparkSession) -> None:
    rows = [
        (session(0), "A", 3),
        (session(0), "B", 1),
        (session(1), "A", 9),
        (session(1), "B", 1),
        (session(1), "C", 1),
    ]
    weighted = with_portfolio_weight(frame(spark, rows, POSITIONS), max_weight=Decimal("0.4"))
    # On the second date A is cut to 0.4, and B and C have 0.3 each.
    assert sorted(
        (r.as_of_date, r.ticker, str(r.portfolio_weight), r.is_max_weight_exceeded) for r in weighted.collect()
    ) == [
        (session(0), "A", "0.50000000", True),
        (session(0), "B", "0.50000000", True),
        (session(1), "A", "0.40000000", False),
        (session(1), "B", "0.30000000", False),
        (session(1), "C", "0.30000000", False),
    ]


def test_dates_do_not_mix(spark: SparkSession) -> None:
    rows = [(session(0), "A", 1), (session(0), "B", 1), (session(1), "A", 9), (session(1), "B", 1)]
    weighted = with_portfolio_weight(frame(spark, rows, POSITIONS), max_weight=Decimal("0.8"))
    actual = {(row.as_of_date, row.ticker): row.portfolio_weight for row in weighted.collect()}
    assert actual == {
        (session(0), "A"): Decimal("0.5"),
        (session(0), "B"): Decimal("0.5"),
        (session(1), "A"): Decimal("0.8"),
        (session(1), "B"): Decimal("0.2"),
    }


def test_no_positions_keep_the_schema(spark: SparkSession) -> None:
    weighted = with_portfolio_weight(frame(spark, [], POSITIONS))
    assert weighted.columns == ["as_of_date", "ticker", "market_cap", "portfolio_weight", "is_max_weight_exceeded"]
    assert weighted.collect() == []


@pytest.mark.parametrize("max_weight", [None, "0.1", "0.07000001"])
def test_random_portfolios_agree_with_sharing_out_round_by_round(spark: SparkSession, max_weight: str | None) -> None:
    chance = random.Random(20)
    caps = {(session(day), f"T{n:02}"): int(10 ** chance.uniform(0, 12)) for day in range(25) for n in range(15 + day)}
    positions = frame(spark, [(*key, cap) for key, cap in caps.items()], POSITIONS)
    weighted = with_portfolio_weight(positions, max_weight=None if max_weight is None else Decimal(max_weight))
    actual = {(row.as_of_date, row.ticker): row.portfolio_weight for row in weighted.collect()}

    for day in range(25):
        of_day = {ticker: cap for (date, ticker), cap in caps.items() if date == session(day)}
        exact = _share_round_by_round(of_day, Fraction(max_weight or 1))
        expected = _largest_remainder(exact)
        assert sum(expected.values()) == 10**8
        assert {t: actual[session(day), t] for t in of_day} == {t: Decimal(u) / 10**8 for t, u in expected.items()}


def _share_round_by_round(caps: dict[str, int], limit: Fraction) -> dict[str, Fraction]:
    """The rule literally: cut all above the limit, distribute the excess in proportion, repeat."""
    weights = {ticker: Fraction(cap, sum(caps.values())) for ticker, cap in caps.items()}
    while any(weight > limit for weight in weights.values()):
        excess = sum(max(weight - limit, Fraction(0)) for weight in weights.values())
        below = {ticker for ticker, weight in weights.items() if weight < limit}
        below_cap = sum(caps[ticker] for ticker in below)
        weights = {
            ticker: weight + excess * Fraction(caps[ticker], below_cap) if ticker in below else min(weight, limit)
            for ticker, weight in weights.items()
        }
    return weights


def _largest_remainder(exact: dict[str, Fraction]) -> dict[str, int]:
    units = {ticker: int(weight * 10**8) for ticker, weight in exact.items()}
    by_remainder: Iterable[str] = sorted(exact, key=lambda t: (units[t] - exact[t] * 10**8, t))
    for ticker in list(by_remainder)[: 10**8 - sum(units.values())]:
        units[ticker] += 1
    return units


@given(
    # Dates, each with its positions; few values of the caps, so that many are equal.
    st.lists(st.lists(st.integers(1, 2**63 - 1) | st.integers(1, 3), min_size=1, max_size=12), min_size=5, max_size=20),
    st.none() | st.integers(10**6, 10**8).map(lambda units: Decimal(units) / 10**8),
)
@FEW_EXAMPLES
def test_any_weights_sum_to_one_none_exceeds_the_limit_and_larger_caps_have_no_less(
    spark: SparkSession, caps: list[list[int]], max_weight: Decimal | None
) -> None:
    rows = [(session(day), f"T{n:02}", cap) for day, of_day in enumerate(caps) for n, cap in enumerate(of_day)]
    weighted = with_portfolio_weight(frame(spark, rows, POSITIONS), max_weight=max_weight)
    by_date = defaultdict(list)
    for row in weighted.collect():
        by_date[row.as_of_date].append((row.market_cap, row.portfolio_weight))
    assert {date: len(positions) for date, positions in by_date.items()} == {
        session(day): len(of_day) for day, of_day in enumerate(caps)
    }
    limit = 1 if max_weight is None else max_weight
    for positions in by_date.values():
        weights = [weight for _, weight in sorted(positions)]
        if len(positions) * limit < 1:
            assert sum(weights) == 1
            assert max(weights) - min(weights) <= Decimal("0.00000001")
            continue
        assert sum(weights) == 1
        assert min(weights) >= 0
        assert max(weights) <= limit
        # Of equal caps the first by ticker may have one unit more.
        assert all(later[1] >= earlier[1] for earlier, later in pairwise(sorted(positions)) if later[0] > earlier[0])
