"""What a campaign plans, and that it sees what differs."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from tests.emulator import YahooEmulator
from tests.soak.campaign import Case, Undisturbed, phases_of, plan
from tests.soak.contents import different_rows
from tests.soak.installation import Installation

DAY = dt.date(2024, 5, 10)


def undisturbed(job: str, *tables: str) -> Undisturbed:
    nothing_yet = Installation(Path("/nowhere"), YahooEmulator())
    appends = tuple((table, version) for table in tables for version in (0, 1, 2))
    return Undisturbed(job, DAY, (job,), nothing_yet, {}, 20.0, len(tables), 30, 1, appends)


RUNS = [undisturbed("stage1_etf_ohlc", "fetches", "bars"), undisturbed("stage3_trending_sectors")]


def described(cases: list[Case]) -> list[str]:
    return [str(case) for case in cases]


def test_a_seed_fixes_the_kills_and_another_one_chooses_others() -> None:
    assert described(plan(RUNS, 30, 7)) == described(plan(RUNS, 30, 7))
    assert described(plan(RUNS, 30, 7)) != described(plan(RUNS, 30, 8))


def test_every_phase_comes_and_the_kills_are_as_many_as_asked_for() -> None:
    cases = plan(RUNS, 31, 7)
    assert sum(1 if case.again_after_seconds is None else 2 for case in cases) == 31
    assert {case.moment.kind.replace(" to ", " ") for case in cases} >= set(phases_of(RUNS[0]))


def test_a_lost_a_changed_and_a_double_row_differ() -> None:
    right = {"bars": {("XLK", 1): {"close": 1}, ("XLE", 1): {"close": 2}}}
    wrong = {"bars": {("XLK", 1): {"close": 3}, ("XLK", 2): {"close": 1}}}
    assert different_rows(right, right) == []
    assert different_rows(wrong, right) == [
        "bars ('XLE', 1): not served",
        "bars ('XLK', 1) close: 3 served, 1 right",
        "bars ('XLK', 2): served, not expected",
    ]
