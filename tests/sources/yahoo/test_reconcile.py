"""Reconciling one chart with its splits and dividends; every number is worked out by hand."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_app.sources.contract import Bar
from spark_app.sources.yahoo.reconcile import combine_splits, reconcile


def day(number: int) -> dt.date:
    """The n-th weekday from Monday, 2024-06-03, on: 4 is Friday the 7th, 5 is Monday the 10th."""
    weeks, weekday = divmod(number, 5)
    return dt.date(2024, 6, 3) + dt.timedelta(days=7 * weeks + weekday)


def bars_of(
    closes: Sequence[float | None],
    *,
    adjusted: Sequence[float | None] | None = None,
    splits: Mapping[int, float] | None = None,
    dividends: Mapping[int, float] | None = None,
) -> tuple[Bar, ...]:
    """Bars of consecutive sessions with one price a day, and a volume of 100."""
    return tuple(
        Bar(
            day(i), close, close, close, close, adj, 100,
            dividend=(dividends or {}).get(i, 0.0), split_ratio=(splits or {}).get(i, 1.0),
        )
        for i, (close, adj) in enumerate(zip(closes, adjusted or closes, strict=True))
    )  # fmt: skip


def splits_in(bars: Sequence[Bar]) -> dict[dt.date, float]:
    return {bar.trade_date: bar.split_ratio for bar in bars if bar.split_ratio != 1}


def closes_in(bars: Sequence[Bar]) -> list[float | None]:
    return [bar.close_price for bar in bars]


def test_a_sound_chart_stays_as_it_is() -> None:
    bars = bars_of([120, 121, 122], adjusted=[119, 121, 122], splits={1: 10.0}, dividends={1: 1.0})
    assert reconcile(bars) == (bars, ())


def test_rows_before_a_split_that_are_not_restated_are_divided() -> None:
    # 1200 / 10 = 120, 1210 / 10 = 121; 100 shares of before are 1000 of today.
    bars = (
        Bar(day(0), 1190.0, 1220.0, 1180.0, 1200.0, 1195.0, 100),
        Bar(day(1), 1200.0, 1230.0, 1190.0, 1210.0, 1205.0, None),
        Bar(day(2), 120.0, 124.0, 119.0, 122.0, 122.0, 1000, split_ratio=10.0),
    )
    assert reconcile(bars) == (
        (
            Bar(day(0), 119.0, 122.0, 118.0, 120.0, 119.5, 1000),
            Bar(day(1), 120.0, 123.0, 119.0, 121.0, 120.5, None),
            bars[2],
        ),
        ("rows before 2024-06-05 restated by the split 10:1",),
    )


@pytest.mark.parametrize(
    ("ratio", "old", "new", "text"),
    [
        (1.5, [60.0, 63.0], [40.0, 42.0], "3:2"),
        (1.2, [60.0, 63.0], [50.0, 52.5], "6:5"),
        (0.125, [12.5, 13.0], [100.0, 104.0], "1:8"),
        (2.649, [264.9, 529.8], [100.0, 200.0], "2649:1000"),
    ],
)
def test_any_split_is_restated(ratio: float, old: list[float], new: list[float], text: str) -> None:
    today = new[-1] * 1.02
    bars, notes = reconcile(bars_of([*old, today], splits={2: ratio}))
    assert closes_in(bars) == pytest.approx([*new, today])
    assert notes == (f"rows before 2024-06-05 restated by the split {text}",)


def test_adjusted_closes_are_judged_by_their_own_step() -> None:
    half_old, _ = reconcile(bars_of([240, 242, 122], adjusted=[119, 120, 122], splits={2: 2.0}))
    assert [(b.close_price, b.adj_close_price) for b in half_old] == [(120, 119), (121, 120), (122, 122)]
    adjusted_old, notes = reconcile(bars_of([120, 121, 122], adjusted=[238, 240, 122], splits={2: 2.0}))
    assert [(b.close_price, b.adj_close_price) for b in adjusted_old] == [(120, 119), (121, 120), (122, 122)]
    assert [b.volume for b in adjusted_old] == [100, 100, 100]
    assert notes == ("adjusted closes before 2024-06-05 restated by the split 2:1",)


def test_two_splits_that_are_not_restated_multiply() -> None:
    # 600 / 3 / 2 = 100, 200 / 2 = 100.
    bars, notes = reconcile(bars_of([600, 200, 100], splits={1: 3.0, 2: 2.0}))
    assert closes_in(bars) == [100, 100, 100]
    assert [bar.volume for bar in bars] == [600, 200, 100]
    assert len(notes) == 2


def test_a_step_is_read_across_bars_without_a_close() -> None:
    bars, _ = reconcile(bars_of([240, None, math.nan, 122], splits={3: 2.0}))
    assert bars[0].close_price == 120
    assert bars[1].close_price is None


@pytest.mark.parametrize("closes", [[240, None], [None, 122], [122], [math.inf, 122], [240, 0.0], [-1.0, 122]])
def test_without_two_closes_nothing_is_restated(closes: list[float | None]) -> None:
    bars = bars_of(closes, splits={len(closes) - 1: 2.0})
    assert reconcile(bars) == (bars, ())


def test_a_split_close_to_1_is_never_seen_in_the_closes() -> None:
    # K on 2023-10-02: a listed 213:200, and a fall of 6 % that was one.
    bars = bars_of([106.5, 100.0], splits={1: 1.065})
    assert reconcile(bars) == (bars, ())


@pytest.mark.parametrize(
    ("ratio", "after", "change"),
    # Of 100 to 65 or 150 at a 2:1 (50 or 100 were expected), to 79 at a 3:2 (66.7 or 100).
    [(2.0, 65.0, "-35"), (2.0, 150.0, "50"), (1.5, 79.0, "-21")],
)
def test_a_step_that_a_split_does_not_explain_is_noted_and_kept(ratio: float, after: float, change: str) -> None:
    bars = bars_of([100.0, 100.0, after], splits={2: ratio})
    text = "2:1" if ratio == 2 else "3:2"
    note = f"closes change by {change} % at the split {text} of 2024-06-05, which does not explain it: kept"
    assert reconcile(bars) == (bars, (note,))


def test_a_split_listed_twice_counts_once_on_the_later_date() -> None:
    bars, notes = reconcile(bars_of([120.0] * 8, splits={4: 10.0, 5: 10.0}))
    assert splits_in(bars) == {day(5): 10.0}
    assert closes_in(bars) == [120.0] * 8
    assert notes == ("split 10:1 listed on 2024-06-07 and 2024-06-10: counted on 2024-06-10",)


@pytest.mark.parametrize("true_day", [2, 5])
def test_a_split_listed_twice_counts_where_the_closes_step(true_day: int) -> None:
    closes = [1200.0 if i < true_day else 120.0 for i in range(8)]
    bars, notes = reconcile(bars_of(closes, splits={2: 10.0, 5: 10.0}))
    assert splits_in(bars) == {day(true_day): 10.0}
    assert closes_in(bars) == [120.0] * 8
    assert notes[-1] == f"rows before {day(true_day)} restated by the split 10:1"


def test_two_equal_splits_that_both_step_are_two() -> None:
    bars, _ = reconcile(bars_of([400.0, 400.0, 200.0, 200.0, 100.0], splits={2: 2.0, 4: 2.0}))
    assert splits_in(bars) == {day(2): 2.0, day(4): 2.0}
    assert closes_in(bars) == [100.0] * 5


def test_only_the_same_ratio_within_ten_sessions_is_the_same_split() -> None:
    apart = bars_of([120.0] * 13, splits={1: 2.0, 12: 2.0, 5: 3.0})
    assert reconcile(apart) == (apart, ())
    near, _ = reconcile(bars_of([120.0] * 13, splits={2: 2.0, 12: 2.0}))
    assert splits_in(near) == {day(12): 2.0}


def test_on_one_bar_the_same_ratio_is_one_split() -> None:
    assert combine_splits(1.0, 10.0) == 10.0
    assert combine_splits(10.0, 10.0) == 10.0
    assert combine_splits(1.5, 2.0) == 3.0


def test_adjusted_closes_are_computed_from_the_dividends() -> None:
    # Ex 1 after a close of 50: factor 0.98; ex 2 after a close of 40: factor 0.95; before both 0.98 * 0.95 = 0.931.
    bars, notes = reconcile(bars_of([50.0, 49.0, 40.0, 38.0], dividends={1: 1.0, 3: 2.0}))
    assert [bar.adj_close_price for bar in bars] == pytest.approx([46.55, 46.55, 38.0, 38.0], rel=1e-12)
    assert closes_in(bars) == [50.0, 49.0, 40.0, 38.0]
    told = "adjusted closes equal to the closes: computed from the dividends of 2024-06-04, 2024-06-06"
    assert notes == (told,)


def test_a_dividend_is_taken_from_the_restated_close() -> None:
    # 100 / 2 = 50 before the split; ex 1 after it: factor 0.98.
    bars, _ = reconcile(bars_of([100.0, 100.0, 50.0, 49.0], splits={2: 2.0}, dividends={3: 1.0}))
    assert [bar.adj_close_price for bar in bars] == pytest.approx([49.0, 49.0, 49.0, 49.0], rel=1e-12)


def test_one_adjusted_close_that_differs_says_that_dividends_are_in_them() -> None:
    bars = bars_of([50.0, 49.0, 40.0], adjusted=[48.0, 49.0, 40.0], dividends={1: 1.0, 2: 2.0})
    assert reconcile(bars) == (bars, ())


@pytest.mark.parametrize("dividends", [{0: 1.0}, {1: -1.0}, {1: 60.0}, {1: math.inf}, {1: 1e-9}])
def test_a_dividend_that_changes_no_adjusted_close(dividends: dict[int, float]) -> None:
    bars = bars_of([50.0, 49.0], dividends=dividends)
    assert reconcile(bars) == (bars, ())


def test_bars_without_a_price_stay_without_it() -> None:
    bars, _ = reconcile(bars_of([50.0, None, 49.0], dividends={2: 1.0}))
    assert [bar.adj_close_price for bar in bars] == [49.0, None, 49.0]
    without_adjusted = bars_of([50.0, 49.0], adjusted=[None, None], dividends={1: 1.0})
    assert reconcile(without_adjusted) == (without_adjusted, ())


@pytest.mark.parametrize("volume", [2**62, -(2**62)])
def test_a_volume_that_no_longer_fits_is_unknown(volume: int) -> None:
    old = Bar(day(0), 240.0, 240.0, 240.0, 240.0, 240.0, volume)
    bars, _ = reconcile([old, *bars_of([0, 122.0], splits={1: 2.0})[1:]])
    assert bars[0].volume is None


TERMS = st.integers(1, 20)
RATIOS = st.tuples(TERMS, TERMS).map(lambda terms: terms[0] / terms[1]).filter(lambda r: r >= 1.2 or r <= 1 / 1.2)
MOVES = st.lists(st.floats(-0.04, 0.04), min_size=2, max_size=30)


@given(ratio=RATIOS, moves=MOVES, data=st.data())
def test_restated_or_not_a_split_gives_the_same_closes(ratio: float, moves: list[float], data: st.DataObject) -> None:
    closes = [100.0]
    for move in moves:
        closes.append(closes[-1] * math.exp(move))
    split_on = data.draw(st.integers(1, len(closes) - 1))
    sound = bars_of(closes, splits={split_on: ratio})
    assert reconcile(sound) == (sound, ())
    old = [close * ratio if i < split_on else close for i, close in enumerate(closes)]
    bars, notes = reconcile(bars_of(old, splits={split_on: ratio}))
    assert closes_in(bars) == pytest.approx(closes, rel=1e-12)
    assert [bar.adj_close_price for bar in bars] == pytest.approx(closes, rel=1e-12)
    assert splits_in(bars) == {day(split_on): ratio}
    assert len(notes) == 1


NUMBERS = st.one_of(st.none(), st.floats(allow_nan=False), st.sampled_from([0.0, -1.0, 1e-320, 1e308, 240.0, 120.0]))
ANY_BAR = st.tuples(
    NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(), st.floats() | st.sampled_from([2.0, 10.0, 1e-300, 1e300, 0.0, -1.0]),
)  # fmt: skip


@given(st.lists(ANY_BAR, max_size=15))
def test_whatever_the_bars_are_they_stay_bars_that_can_be_stored(rows: list[tuple[float, ...]]) -> None:
    bars = [Bar(day(i), *row) for i, row in enumerate(rows)]  # type: ignore[arg-type]
    reconciled, notes = reconcile(bars)
    assert [bar.trade_date for bar in reconciled] == [bar.trade_date for bar in bars]
    assert all(bar.volume is None or abs(bar.volume) < 2**63 for bar in reconciled)
    assert all(isinstance(note, str) and note for note in notes)


@pytest.fixture(scope="module")
def real_charts(shared_data: Path) -> dict[str, list[Bar]]:
    """The bars of each ticker over nine years, with the dividends and splits that were listed.

    Of sessions that are far from any event only some are kept: a million bars take half a minute.
    """
    folder = shared_data / "market_data"
    prices = pd.concat([pd.read_parquet(folder / f"{kind}_daily.parquet") for kind in ("etf", "stock")])
    actions = pd.read_csv(folder / "corporate_actions.csv", keep_default_na=False, parse_dates=["ex_date"])
    # Derived rows are arithmetic on the adjusted closes, not an answer of a source.
    actions = actions[~actions["source_repo"].str.startswith("derived")].astype({"dividend": float})
    actions["ex_date"] = actions["ex_date"].dt.date
    events = actions.rename(columns={"ex_date": "trade_date"})[["ticker", "trade_date", "dividend", "split_ratio"]]
    rows = prices.merge(events, how="left", on=["ticker", "trade_date"]).sort_values(["ticker", "trade_date"])
    rows["dividend"] = rows["dividend"].fillna(0.0)
    rows["split_ratio"] = rows["split_ratio"].fillna(1.0).replace(0.0, 1.0)
    rows = rows[_is_near_an_event(rows)]
    charts: dict[str, list[Bar]] = {}
    names = ["trade_date", "open", "high", "low", "close", "adj_close", "volume", "dividend", "split_ratio"]
    for ticker, *values in zip(*(rows[name].tolist() for name in ["ticker", *names]), strict=True):
        charts.setdefault(ticker, []).append(Bar(*values))
    return charts


def _is_near_an_event(rows: pd.DataFrame) -> pd.Series:
    """Whether a split is listed within 21 sessions, a dividend on the session or the next, or it is every 50th row."""
    by_ticker = rows.groupby("ticker")
    near = by_ticker.cumcount() % 50 == 0
    for column, none, sessions in (("split_ratio", 1.0, 21), ("dividend", 0.0, 1)):
        for shift in range(-sessions, sessions + 1):
            near |= by_ticker[column].shift(shift, fill_value=none) != none
    return near


def test_sound_real_charts_stay_as_they_are(real_charts: dict[str, list[Bar]]) -> None:
    assert len(real_charts) == 513
    assert sum(bar.split_ratio != 1 for bars in real_charts.values() for bar in bars) > 100
    assert sum(bar.dividend > 0 for bars in real_charts.values() for bar in bars) > 10_000
    for ticker, bars in real_charts.items():
        assert (ticker, reconcile(bars)) == (ticker, (tuple(bars), ()))


def test_real_charts_whose_older_rows_are_not_restated_give_the_same_closes(real_charts: dict[str, list[Bar]]) -> None:
    healed = 0
    for ticker, bars in real_charts.items():
        for i in [i for i, bar in enumerate(bars) if i and not 1 / 1.2 < bar.split_ratio < 1.2]:
            first = max(0, i - 21)
            old = [_unrestated(bar, bars[i].split_ratio) for bar in bars[first:i]]
            reconciled, notes = reconcile([*old, *bars[i : i + 21]])
            assert closes_in(reconciled) == pytest.approx(closes_in(bars[first : i + 21]), rel=1e-12), ticker
            assert len(notes) == 1, ticker
            healed += 1
    assert healed > 80


def _unrestated(bar: Bar, ratio: float) -> Bar:
    open_price, high, low, close, adjusted = (
        price and price * ratio
        for price in (bar.open_price, bar.high_price, bar.low_price, bar.close_price, bar.adj_close_price)
    )
    return Bar(bar.trade_date, open_price, high, low, close, adjusted, bar.volume, bar.dividend, bar.split_ratio)
