"""The sessions of `make demo`: a named day, a holiday, a day before the synthetic market has results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "demo_sessions.py"


def sessions(*words: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("named", "printed", "told"),
    [
        # 2023 has 250 sessions: the first of 251 is the last one of 2022.
        ("2023-12-29", "2023-12-29 2022-12-30\n", ""),
        # Juneteenth was kept on Monday.
        (
            "2022-06-20",
            "2022-06-17 2021-06-22\n",
            "demo: 2022-06-20 is not a completed session: 2022-06-17 is taken\n",
        ),
        # Results need 20 sessions before: January 2015 had those from the 2nd on, but for Martin Luther King's day.
        ("2015-08-24", "2015-08-24 2015-02-02\n", ""),
        ("2015-02-02", "2015-02-02 2015-02-02\n", ""),
    ],
)
def test_the_demo_ends_with_the_named_session_and_begins_where_there_are_results(
    named: str, printed: str, told: str
) -> None:
    assert sessions(named) == (0, printed, told)


def test_without_a_name_it_is_the_last_completed_session() -> None:
    code, printed, told = sessions()
    assert (code, told, len(printed.split())) == (0, "", 2)


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("2015-01-30", "too early: the synthetic market begins on 2015-01-02, use 2015-02-02 or a later date"),
        ("1950-01-01", "too early: the synthetic market begins on 2015-01-02, use 2015-02-02 or a later date"),
        ("24.8.2015", "invalid date '24.8.2015': expected YYYY-MM-DD"),
    ],
)
def test_a_day_without_results_is_refused_before_anything_runs(named: str, told: str) -> None:
    code, printed, said = sessions(named)
    assert (code, printed) == (2, "")
    assert said.splitlines()[-1].startswith("demo: error: ")
    assert said.endswith(f"{told}\n")
