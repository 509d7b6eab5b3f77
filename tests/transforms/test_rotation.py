"""Which funds are held and at which weights, by hand and against pandas."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_app.schemas import SECTOR_TRENDS
from spark_app.transforms.rotation import (
    SectorChoice,
    chosen_sectors,
    with_inverse_volatility,
    with_target_weight,
)
from tests.transforms.frames import frame, session, sessions_frame

DAY, NEXT_DAY = session(10), session(11)


def _trends(spark: SparkSession) -> DataFrame:
    """Returns of four funds over 5 and 20 sessions; on the next day the benchmark has none over 20."""
    returns = {"A": (9, 1), "B": (1, 9), "C": (5, 5), "D": (30, None)}
    trending = {"A": (True, True), "B": (True, False), "C": (True, True), "D": (True, False)}
    rows = []
    for day in (DAY, NEXT_DAY):
        for fund, of_periods in returns.items():
            for place, period in enumerate((5, 20)):
                lost = "no_bar_at_end" if day == NEXT_DAY and period == 20 else None
                value = None if lost or of_periods[place] is None else Decimal(of_periods[place])  # type: ignore[arg-type]
                code = "benchmark_unavailable" if lost else "no_bar_at_start" if value is None else None
                flag = trending[fund][place] and value is not None
                rows.append((day, fund, period, fund, value, None, flag, None, None, code, lost))
    return frame(spark, rows, SECTOR_TRENDS)


def test_several_rules_choose_at_once_and_the_benchmark_decides_whether_anything_is_traded(
    spark: SparkSession,
) -> None:
    choices = [
        SectorChoice(basis=20, rank_periods=(20,), top_n=2),  # B does not trend, D has no return.
        SectorChoice(basis=20, rank_periods=(20,), top_n=2, is_trend_required=False),
        SectorChoice(basis=5, rank_periods=(5, 20), top_n=3, is_trend_required=False),  # A, B and C: mean 5, tie.
        SectorChoice(basis=5, rank_periods=(5,), top_n=2),
    ]
    rows = chosen_sectors(_trends(spark), choices).collect()
    held: dict[tuple[int, dt.date], list[str]] = {(n, d): [] for n in range(4) for d in (DAY, NEXT_DAY)}
    for row in rows:
        if row["is_chosen"]:
            held[row["choice_number"], row["as_of_date"]].append(row["ticker"])
    found = {key: sorted(funds) for key, funds in held.items()}
    assert [found[n, DAY] for n in range(4)] == [["A", "C"], ["B", "C"], ["A", "B", "C"], ["A", "D"]]
    assert [found[n, NEXT_DAY] for n in range(4)] == [[], [], [], ["A", "D"]]
    untradable = {(r["choice_number"], r["as_of_date"]) for r in rows if not r["is_comparable"]}
    assert untradable == {(0, NEXT_DAY), (1, NEXT_DAY), (2, NEXT_DAY)}
    assert len(rows) == 4 * 2 * 4


def test_weights_sum_to_one_within_each_choice_and_date(spark: SparkSession) -> None:
    rows = [(n, DAY, t) for n, funds in enumerate(["ABC", "AB"]) for t in funds]
    positions = frame(spark, rows, "choice_number int, as_of_date date, ticker string")
    weights = {(r[0], r[2]): r[3] for r in with_target_weight(positions, F.lit(1)).collect()}
    third = Decimal("0.33333333")
    assert weights[0, "A"] == Decimal("0.33333334") and weights[0, "B"] == weights[0, "C"] == third
    assert weights[1, "A"] == weights[1, "B"] == Decimal("0.50000000")


def test_inverse_volatility_agrees_with_pandas_and_drops_what_is_too_young(spark: SparkSession) -> None:
    random = np.random.default_rng(4)
    closes = pd.DataFrame(
        50 * np.exp(random.normal(0, [0.01, 0.02, 0.03], (62, 3)).cumsum(axis=0)), columns=list("ABC")
    )
    closes.loc[:1, "C"] = np.nan  # 59 returns on the last session.
    bars = [
        (ticker, session(n), float(closes[ticker][n]))
        for ticker in "ABC"
        for n in range(62)
        if pd.notna(closes[ticker][n])
    ]
    positions = frame(spark, [(0, session(61), t) for t in "ABC"], "choice_number int, as_of_date date, ticker string")
    shares = with_inverse_volatility(
        positions,
        frame(spark, bars, "ticker string, trade_date date, adj_close_price double"),
        sessions_frame(spark, 61),
    )
    found = {
        r["ticker"]: float(r["target_weight"])
        for r in with_target_weight(shares, F.col("inverse_volatility")).collect()
    }
    inverse = 1 / closes[["A", "B"]].pct_change().iloc[-60:].std()
    expected = (inverse / inverse.sum()).to_dict()
    assert found.keys() == expected.keys()
    assert all(abs(found[t] - expected[t]) <= 1e-8 for t in expected)
