"""The sessions that are kept in a file are those of the calendar."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from spark_app import market_calendar
from spark_app.config.settings import CalendarSettings
from spark_app.results.sessions import read_sessions

NOW = dt.datetime(2025, 11, 28, 12, tzinfo=dt.UTC)
PLAIN = CalendarSettings()


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SPARK_APP_HOME", str(tmp_path))
    yield tmp_path / "cache" / "sessions.json"
    market_calendar.correct()


def test_the_file_says_what_the_package_says(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = read_sessions(PLAIN, NOW)
    assert file.is_file()
    monkeypatch.setattr(market_calendar, "sessions_between", lambda *_: pytest.fail("the package was read again"))
    assert read_sessions(PLAIN, NOW) == made


def test_sessions_are_counted_across_holidays_and_early_closes() -> None:
    sessions = read_sessions(PLAIN, NOW)
    # Thanksgiving of 2025, and the Friday after it, which closed at 18:00 UTC.
    wednesday, friday = dt.date(2025, 11, 26), dt.date(2025, 11, 28)
    assert sessions.last_completed(dt.datetime(2025, 11, 28, 17, 59, tzinfo=dt.UTC)) == wednesday
    assert sessions.last_completed(dt.datetime(2025, 11, 28, 18, 0, tzinfo=dt.UTC)) == friday
    assert sessions.behind(wednesday, friday) == 1
    assert sessions.behind(friday, wednesday) == 0
    assert sessions.behind(dt.date(2025, 11, 23), friday) == 4  # a Sunday
    assert sessions.before(friday, 5) == dt.date(2025, 11, 20)
    assert sessions.before(dt.date(1993, 1, 29), 1) is None


def test_corrections_are_not_answered_from_a_file_without_them() -> None:
    read_sessions(PLAIN, NOW)
    closed = CalendarSettings(closures=(dt.date(2025, 11, 26),))
    assert read_sessions(closed, NOW).last_completed(NOW) == dt.date(2025, 11, 25)
    assert read_sessions(PLAIN, NOW).last_completed(NOW) == dt.date(2025, 11, 26)


@pytest.mark.parametrize("broken", ["", "[]", "{}", '{"made_of": {}, "closes": {}}', "\x00"])
def test_a_broken_file_is_made_again(file: Path, broken: str) -> None:
    file.parent.mkdir()
    file.write_text(broken)
    assert read_sessions(PLAIN, NOW).last_completed(NOW) == dt.date(2025, 11, 26)
    assert len(json.loads(file.read_text())["closes"]) > 8000


def test_a_file_that_ends_too_early_is_made_again(file: Path) -> None:
    read_sessions(PLAIN, NOW)
    known = json.loads(file.read_text())
    known["closes"] = {day: close for day, close in known["closes"].items() if day < "2025-12-20"}
    file.write_text(json.dumps(known))
    assert len(read_sessions(PLAIN, NOW).days) > len(known["closes"])


def test_without_a_place_for_the_file_the_package_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").touch()
    monkeypatch.setenv("SPARK_APP_HOME", str(tmp_path / "taken"))
    assert read_sessions(PLAIN, NOW).last_completed(NOW) == dt.date(2025, 11, 26)
