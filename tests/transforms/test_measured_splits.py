"""What restatements show of a split decides where it contradicts the listing."""

from __future__ import annotations

import datetime as dt

import pytest
from pyspark.sql import SparkSession

from spark_app.schemas import BARS
from spark_app.transforms.current import current_bars
from spark_app.transforms.measured_splits import contradicted_splits, with_measured_splits
from tests.transforms.frames import frame, session

Staged = tuple[int, float | None, int, float]
"""Session, close, the session on whose evening it was fetched, listed ratio."""


def fetched(last: int, closes: list[float | None], **splits: float) -> list[Staged]:
    """The closes of the sessions from 0 on, as one chart has them; `s5=2.0` lists a split 2:1 on session 5."""
    return [(n, close, last, splits.get(f"s{n}", 1.0)) for n, close in enumerate(closes)]


BEFORE = fetched(4, [100.0] * 5)
ON_ONE_BASIS: list[tuple[str, list[Staged], dict[int, float]]] = [
    # ticker, what is staged, session of a split -> ratio
    ("AGREES", BEFORE + fetched(6, [10.0] * 7, s5=10.0), {5: 10.0}),
    ("SMALLER", BEFORE + fetched(6, [50.0] * 7, s5=10.0), {5: 2.0}),
    ("INVERTED", BEFORE + fetched(6, [10.0] * 7, s5=0.1), {5: 10.0}),
    ("REVERSE", BEFORE + fetched(6, [400.0] * 7, s5=4.0), {5: 0.25}),
    # 5:3 in prices of four decimals is 1.6666667; a spin-off is no ratio of small numbers.
    ("NOISY", BEFORE + fetched(6, [59.999999] * 7, s5=2.0), {5: 5 / 3}),
    ("SPIN-OFF", BEFORE + fetched(6, [100 / 1.253] * 7, s5=10.0), {5: 1.253}),
    # One close of five was corrected at the same time.
    ("CORRECTED", BEFORE + fetched(6, [50.0, 51.0, 50.0, 50.0, 50.0, 50.0, 50.0], s5=2.0), {5: 2.0}),
    # Only new or changed bars are staged: the closes before the split stayed as they were.
    ("NO-SPLIT", [*BEFORE, (5, 104.0, 6, 4.0), (6, 103.0, 6, 1.0)], {5: 1.0}),
    ("NOT-YET", [*BEFORE, (5, 26.0, 6, 4.0), (6, 25.0, 6, 1.0)], {5: 4.0}),
    ("HALF-YET", [*BEFORE, (4, 25.0, 6, 1.0), (5, 26.0, 6, 4.0), (6, 25.0, 6, 1.0)], {5: 4.0}),
    ("UNKNOWN", fetched(6, [50.0] * 7, s5=10.0), {5: 10.0}),
    ("NO-CLOSE", fetched(4, [None] * 5) + fetched(6, [50.0] * 7, s5=10.0), {5: 10.0}),
    # Of two splits between two fetches only the product is known; a fetch between them tells them apart.
    ("BOTH", fetched(2, [60.0] * 3) + fetched(8, [10.0] * 9, s3=2.0, s6=3.0), {3: 2.0, 6: 3.0}),
    (
        "EACH",
        fetched(2, [60.0] * 3) + fetched(4, [12.0] * 5, s3=2.0) + fetched(8, [4.0] * 9, s3=2.0, s6=3.0),
        {3: 5.0, 6: 3.0},
    ),
    # The same split listed twice, and restated once.
    (
        "TWICE",
        fetched(2, [60.0] * 3) + fetched(4, [6.0] * 5, s3=10.0) + [(5, 6.0, 8, 1.0), (6, 6.0, 8, 10.0)],
        {3: 10.0, 6: 1.0},
    ),
]


def test_a_split_has_the_ratio_that_its_restatement_shows(spark: SparkSession) -> None:
    rows = [
        (ticker, session(n), p, p, p, p, p, 100, 0.0, ratio, _evening(last), "run-1", "test")
        for ticker, staged, _ in ON_ONE_BASIS
        for n, p, last, ratio in staged
    ]
    staged = frame(spark, rows, BARS)
    contradicted = contradicted_splits(current_bars(staged), staged)
    actual_df = with_measured_splits(current_bars(staged), contradicted)
    assert actual_df.columns == staged.columns
    actual = actual_df.collect()
    assert len(actual) == len({row[:2] for row in rows})
    found: dict[str, dict[dt.date, float]] = {}
    for row in actual:
        if row.split_ratio != 1 or row.trade_date in _listed(row.ticker):
            found.setdefault(row.ticker, {})[row.trade_date] = row.split_ratio
    expected = {ticker: {session(n): ratio for n, ratio in splits.items()} for ticker, _, splits in ON_ONE_BASIS}
    assert found == {ticker: pytest.approx(splits, rel=1e-12) for ticker, splits in expected.items()}
    told = {row.ticker: (row.trade_date, row.listed_ratio) for row in contradicted.collect()}
    assert told == {
        "SMALLER": (session(5), 10.0),
        "INVERTED": (session(5), 0.1),
        "REVERSE": (session(5), 4.0),
        "NOISY": (session(5), 2.0),
        "SPIN-OFF": (session(5), 10.0),
        "NO-SPLIT": (session(5), 4.0),
        "EACH": (session(3), 2.0),
        "TWICE": (session(6), 10.0),
    }


def _listed(ticker: str) -> set[dt.date]:
    return {session(n) for name, _, splits in ON_ONE_BASIS if name == ticker for n in splits}


def _evening(number: int) -> dt.datetime:
    """17:00 of a session in New York's summer, in UTC."""
    return dt.datetime.combine(session(number), dt.time(21), dt.UTC)
