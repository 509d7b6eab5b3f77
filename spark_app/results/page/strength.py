"""Strength relative to the benchmark, and rotation; each value comes from its own session and earlier ones only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from spark_app.results.page.facts import Price
from spark_app.universe import BENCHMARK

WINDOW_SESSIONS = 63
"""Sessions of a z-score: about a quarter."""
CHANGE_SESSIONS = 10
"""Sessions over which the ratio's change is measured."""
STEP_SESSIONS = 5
"""Sessions from one point of a tail to the next."""
TAIL_POINTS = 6
NEEDED_SESSIONS = WINDOW_SESSIONS + CHANGE_SESSIONS
"""Sessions of prices before a fund has a place in the rotation."""


@dataclass(frozen=True)
class Rotation:
    """Where a fund is, and where it was every `STEP_SESSIONS` sessions before; the newest point is the last.

    Attributes:
        points: date, strength (z-score of the ratio), momentum (z-score of the ratio's change).
    """

    ticker: str
    points: tuple[tuple[dt.date, float, float], ...]

    @property
    def quadrant(self) -> str:
        _, strength, momentum = self.points[-1]
        if strength >= 0:
            return "leading" if momentum >= 0 else "weakening"
        return "improving" if momentum >= 0 else "lagging"


def ratios(prices: Sequence[Price], sessions: Sequence[dt.date]) -> pd.DataFrame:
    """Divide adjusted closes by the benchmark's of the same session.

    Returns: a row per session from the first one with a ratio on, a column per fund other than the benchmark; NaN where
        either has no price.
    """
    frame = pd.DataFrame(
        [(price.trade_date, price.ticker, float(price.adj_close_price)) for price in prices],
        columns=["session", "ticker", "close"],
    )
    closes = frame.pivot(index="session", columns="ticker", values="close").reindex(list(sessions))
    if BENCHMARK not in closes:
        return pd.DataFrame(index=closes.index)
    ratio = closes.drop(columns=BENCHMARK).div(closes[BENCHMARK], axis=0).dropna(axis=1, how="all")
    served = ratio.dropna(how="all").index
    return ratio.loc[served[0] :] if len(served) else ratio


def relative_strength(ratio: pd.DataFrame) -> pd.DataFrame:
    """The ratio as an index: 100 on the first session that a fund has one."""
    return 100 * ratio / ratio.bfill().iloc[0] if len(ratio) else ratio


def rotation_frames(ratio: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute strength and momentum of every session; NaN where the past is too short or has a gap."""
    change = ratio / ratio.shift(CHANGE_SESSIONS) - 1
    return _z_score(ratio), _z_score(change)


def rotations(ratio: pd.DataFrame) -> list[Rotation]:
    """Return the funds that have a place on the last session, each with its tail."""
    strength, momentum = rotation_frames(ratio)
    found = []
    for ticker in ratio.columns:
        both = pd.concat([strength[ticker], momentum[ticker]], axis=1)[::-STEP_SESSIONS][:TAIL_POINTS]
        points = []
        for session, x, y in both.itertuples(name=None):
            if pd.isna(x) or pd.isna(y):
                break
            points.append((session, float(x), float(y)))
        if points:
            found.append(Rotation(str(ticker), tuple(reversed(points))))
    return found


def _z_score(values: pd.DataFrame) -> pd.DataFrame:
    window = values.rolling(WINDOW_SESSIONS)
    deviation = window.std()
    return (values - window.mean()) / deviation.where(deviation > 0)
