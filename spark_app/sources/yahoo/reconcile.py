"""Reconciling the bars of one chart with the splits and dividends that it lists.

Closes come adjusted for splits, so at a listed split of ratio r sound closes do not step. Where they step by 1/r, the
older rows are not restated yet.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from spark_app.sources.bodies import LARGEST_LONG
from spark_app.sources.contract import Bar
from spark_app.universe import SAME_SPLIT_SESSIONS

_SMALLEST_SPLIT = math.log(6 / 5)
"""A ratio closer to 1 is within what a share moves in a day: K fell by 6 % on the day of its split 213:200."""

_CLEARLY = 2.0
"""Closes step by 1/r if a restatement leaves at most half of the step. At 6:5 that takes a fall of 11 %, at 3:2 one
of 24 %, at 10:1 one of 78 % on the very day; T rose by 8 % on the day of its 331:250."""

_LARGEST_STEP = 700.0
"""exp(710) is more than a double."""

_SAME = 1e-6
"""Yahoo's prices are float32: prices that differ by less are equal."""


class Reconciled(NamedTuple):
    """The bars of a chart, and one text for each change that was made to them or was left undecided."""

    bars: tuple[Bar, ...]
    notes: tuple[str, ...] = ()


def combine_splits(ratio: float, other: float) -> float:
    """Return the ratio of two splits on one bar; the same ratio twice is one split."""
    return ratio if _is_same(ratio, other) else ratio * other


def reconcile(bars: Sequence[Bar]) -> Reconciled:
    """Reconcile the bars of one chart, ascending by date, with their splits and dividends.

    - The same ratio listed again within 10 sessions counts once: where the closes step, else on the last date.
    - Where closes step by 1/r, the older prices are divided by r and the older volumes multiplied. Adjusted closes are
      judged by their own step. Dividends stay as listed: they count as restated.
    - Where the adjusted closes equal the closes throughout, they are computed from the dividends.

    A step that is neither 1/r nor an ordinary move is noted and kept.
    """
    notes: list[str] = []
    reconciled = list(bars)
    for mend in (_count_splits_once, _restate_older_rows, _adjust_for_dividends):
        notes.extend(mend(reconciled))
    return Reconciled(tuple(reconciled), tuple(notes))


def _count_splits_once(bars: list[Bar]) -> Iterator[str]:
    for group in _repeated_splits(bars):
        # Where the closes decide nothing, the later date counts: the earlier is that of an announcement.
        counted = [i for i in group if _is_not_restated(bars, i, _close)] or group[-1:]
        for i in group:
            if i not in counted:
                listed, dates = _as_text(bars[i].split_ratio), _dates(bars, counted)
                yield f"split {listed} listed on {bars[i].trade_date} and {dates}: counted on {dates}"
        for i in set(group).difference(counted):
            bars[i] = dataclasses.replace(bars[i], split_ratio=1.0)


def _restate_older_rows(bars: list[Bar]) -> Iterator[str]:
    # All steps are read before any row changes.
    splits = [i for i, bar in enumerate(bars) if _is_split(bar)]
    closes = [i for i in splits if _is_not_restated(bars, i, _close)]
    adjusted = [i for i in splits if _is_not_restated(bars, i, _adj_close)]
    undecided = {i: step for i in splits if i not in closes and (step := _large_step(bars, i))}
    for i in sorted({*closes, *adjusted}):
        ratio = bars[i].split_ratio
        if i in closes:
            bars[:i] = [_with_restated_prices(bar, ratio) for bar in bars[:i]]
        if i in adjusted:
            bars[:i] = [_with_restated_adj_close(bar, ratio) for bar in bars[:i]]
        what = "rows" if i in closes else "adjusted closes"
        yield f"{what} before {bars[i].trade_date} restated by the split {_as_text(ratio)}"
    for i, step in undecided.items():
        named = f"split {_as_text(bars[i].split_ratio)} of {bars[i].trade_date}"
        percent = 100 * math.expm1(min(step, _LARGEST_STEP))
        yield f"closes change by {percent:.3g} % at the {named}, which does not explain it: kept"


def _adjust_for_dividends(bars: list[Bar]) -> Iterator[str]:
    whole = [i for i, bar in enumerate(bars) if _close(bar) is not None and _adj_close(bar) is not None]
    if not whole or not all(_is_same(_close(bars[i]), _adj_close(bars[i])) for i in whole):
        return
    factors = _dividend_factors(bars)
    if not factors or math.isclose(math.prod(factors.values()), 1, rel_tol=_SAME):
        return
    for i in whole:
        factor = math.prod(factors[ex] for ex in factors if ex > i)
        bars[i] = dataclasses.replace(bars[i], adj_close_price=(_close(bars[i]) or 0.0) * factor)
    yield f"adjusted closes equal to the closes: computed from the dividends of {_dates(bars, sorted(factors))}"


def _dividend_factors(bars: Sequence[Bar]) -> dict[int, float]:
    """By the position of an ex-date: what the adjusted closes before it are multiplied with, 1 - dividend / close.

    A dividend that is not between 0 and the close before it is none.
    """
    factors = {}
    for i, bar in enumerate(bars):
        before = _last_usable(bars, i, _close)
        if before is not None and 0 < bar.dividend < before:
            factors[i] = 1 - bar.dividend / before
    return factors


def _repeated_splits(bars: Sequence[Bar]) -> Iterator[list[int]]:
    """Yield the positions of the splits of the same ratio that are listed within 10 sessions of one another."""
    splits = [i for i, bar in enumerate(bars) if _is_split(bar)]
    while splits:
        group = [splits.pop(0)]
        for i in splits:
            if i - group[-1] <= SAME_SPLIT_SESSIONS and _is_same(bars[i].split_ratio, bars[group[0]].split_ratio):
                group.append(i)
        splits = [i for i in splits if i not in group]
        if len(group) > 1:
            yield group


def _is_not_restated(bars: Sequence[Bar], i: int, price: Callable[[Bar], float | None]) -> bool:
    """Whether a price steps by 1/r at the split of bar `i`."""
    step, ratio = _step(bars, i, price), math.log(bars[i].split_ratio)
    if step is None or abs(ratio) < _SMALLEST_SPLIT - _SAME:
        return False
    return abs(step + ratio) * _CLEARLY <= abs(step)


def _large_step(bars: Sequence[Bar], i: int) -> float | None:
    """Return the step of the closes at the split of bar `i` if it is more than half the split, up or down."""
    step, ratio = _step(bars, i, _close), abs(math.log(bars[i].split_ratio))
    return step if step is not None and ratio >= _SMALLEST_SPLIT - _SAME and abs(step) > ratio / 2 else None


def _step(bars: Sequence[Bar], i: int, price: Callable[[Bar], float | None]) -> float | None:
    """Return the logarithm of the change from the last usable price before bar `i` to that of the bar."""
    before, after = _last_usable(bars, i, price), price(bars[i])
    return None if before is None or after is None else math.log(after) - math.log(before)


def _last_usable(bars: Sequence[Bar], i: int, price: Callable[[Bar], float | None]) -> float | None:
    return next((value for bar in reversed(bars[:i]) if (value := price(bar)) is not None), None)


def _with_restated_prices(bar: Bar, ratio: float) -> Bar:
    return dataclasses.replace(
        bar,
        open_price=_divided(bar.open_price, ratio),
        high_price=_divided(bar.high_price, ratio),
        low_price=_divided(bar.low_price, ratio),
        close_price=_divided(bar.close_price, ratio),
        volume=_scaled_volume(bar.volume, ratio),
    )


def _with_restated_adj_close(bar: Bar, ratio: float) -> Bar:
    return dataclasses.replace(bar, adj_close_price=_divided(bar.adj_close_price, ratio))


def _divided(price: float | None, ratio: float) -> float | None:
    return None if price is None else price / ratio


def _scaled_volume(volume: int | None, ratio: float) -> int | None:
    """Return the volume in new shares; None, which is rejected later, if it is too large to be stored."""
    if volume is None or abs(volume * ratio) > LARGEST_LONG / 2:
        return None
    return round(volume * ratio)


def _is_split(bar: Bar) -> bool:
    return math.isfinite(bar.split_ratio) and bar.split_ratio > 0 and bar.split_ratio != 1


def _close(bar: Bar) -> float | None:
    return _usable(bar.close_price)


def _adj_close(bar: Bar) -> float | None:
    return _usable(bar.adj_close_price)


def _usable(price: float | None) -> float | None:
    return price if price is not None and math.isfinite(price) and price > 0 else None


def _is_same(value: float | None, other: float | None) -> bool:
    return value is not None and other is not None and math.isclose(value, other, rel_tol=_SAME)


def _dates(bars: Sequence[Bar], positions: Sequence[int]) -> str:
    return ", ".join(str(bars[i].trade_date) for i in positions)


def _as_text(ratio: float) -> str:
    fraction = Fraction(ratio).limit_denominator(10_000)
    return f"{fraction.numerator}:{fraction.denominator}"
