"""Relative strength and rotation against values by hand, and against the future."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pandas as pd
import pytest

from spark_app.results.page.facts import Price
from spark_app.results.page.strength import (
    NEEDED_SESSIONS,
    STEP_SESSIONS,
    TAIL_POINTS,
    WINDOW_SESSIONS,
    ratios,
    relative_strength,
    rotation_frames,
    rotations,
)

FIRST = dt.date(2024, 1, 1)


def days(count: int) -> list[dt.date]:
    return [FIRST + dt.timedelta(days=number) for number in range(count)]


def made_up(count: int) -> pd.DataFrame:
    """Ratios of two funds that go up and down."""
    wave = [[1 + 0.1 * math.sin(n / 7) + 0.001 * n, 2 + 0.3 * math.cos(n / 11)] for n in range(count)]
    return pd.DataFrame(wave, index=days(count), columns=["XLE", "XLK"])


def test_strength_is_the_ratio_to_the_benchmark_from_100_on() -> None:
    closes = {"SPY": ("400", "500"), "XLE": ("80", "90"), "XLK": ("200", "275")}
    prices = [Price(t, day, Decimal(c)) for t, both in closes.items() for day, c in zip(days(2), both, strict=True)]
    strength = relative_strength(ratios(prices, days(2)))
    # 80/400 = 0.2 and 90/500 = 0.18; 200/400 = 0.5 and 275/500 = 0.55
    assert strength["XLE"].tolist() == pytest.approx([100, 90])
    assert strength["XLK"].tolist() == pytest.approx([100, 110])


def test_a_fund_that_begins_later_begins_with_100() -> None:
    prices = [Price(ticker, day, Decimal(50)) for ticker in ("SPY", "XLE") for day in days(3)]
    prices += [Price("XLC", day, Decimal(50)) for day in days(3)[1:]]
    strength = relative_strength(ratios(prices, days(3)))["XLC"].tolist()
    assert math.isnan(strength[0]) and strength[1:] == [100, 100]


def test_the_figure_begins_with_the_first_session_that_is_served() -> None:
    prices = [Price(ticker, day, Decimal(50)) for ticker in ("SPY", "XLE") for day in days(5)[2:]]
    assert list(ratios(prices, days(5)).index) == days(5)[2:]


def test_without_the_benchmark_there_is_no_figure() -> None:
    prices = [Price("XLE", day, Decimal(80)) for day in days(3)]
    assert rotations(ratios(prices, days(3))) == []
    assert list(relative_strength(ratios(prices, days(3))).columns) == []


def test_a_straight_rise_is_a_known_z_score() -> None:
    ratio = pd.DataFrame({"XLE": [1 + 0.01 * n for n in range(WINDOW_SESSIONS)]}, index=days(WINDOW_SESSIONS))
    strength, _ = rotation_frames(ratio)
    # The last of 1..n is (n-1)/2 above the mean, and the sd of 1..n with n-1 is sqrt(n(n+1)/12).
    n = WINDOW_SESSIONS
    assert strength["XLE"].iloc[-1] == pytest.approx(((n - 1) / 2) / math.sqrt(n * (n + 1) / 12))
    assert strength["XLE"].iloc[:-1].isna().all()


def test_a_fund_has_a_place_when_its_past_is_long_enough() -> None:
    assert rotations(made_up(NEEDED_SESSIONS - 1)) == []
    assert [len(r.points) for r in rotations(made_up(NEEDED_SESSIONS))] == [1, 1]
    assert [len(r.points) for r in rotations(made_up(250))] == [TAIL_POINTS] * 2


def test_a_constant_ratio_has_no_place() -> None:
    assert rotations(pd.DataFrame({"XLE": [1.0] * 100}, index=days(100))) == []


@pytest.mark.parametrize("kept", [249, 240, 200, 120])
def test_with_the_future_cut_off_the_past_stays(kept: int) -> None:
    whole, cut = rotation_frames(made_up(250)), rotation_frames(made_up(250).iloc[:kept])
    for of_whole, of_cut in zip(whole, cut, strict=True):
        pd.testing.assert_frame_equal(of_whole.iloc[:kept], of_cut, check_exact=True)


def test_with_one_step_cut_off_the_tail_is_the_one_of_then() -> None:
    now, then = rotations(made_up(250)), rotations(made_up(250).iloc[:-STEP_SESSIONS])
    for later, earlier in zip(now, then, strict=True):
        assert later.points[:-1] == earlier.points[1:]


def test_another_future_does_not_move_the_tail() -> None:
    other = made_up(250)
    other.iloc[-STEP_SESSIONS:] *= 5
    assert [r.points[:-1] for r in rotations(other)] == [r.points[:-1] for r in rotations(made_up(250))]
