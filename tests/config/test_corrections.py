"""Corrections of share classes, renamed tickers and first sessions; a mistake is one sentence with its place."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from spark_app.config.corrections import CorrectionsSettings
from spark_app.config.settings import load_settings
from spark_app.errors import SettingsError
from spark_app.universe import FIRST_SESSIONS, SHARE_CLASSES, Rename, ShareClass


def corrections(folder: Path, text: str) -> CorrectionsSettings:
    file = folder / "settings.toml"
    file.write_text(f"[corrections]\n{text}\n")
    return load_settings(config_file=str(file)).corrections


def test_without_corrections_what_is_known_is_in_force() -> None:
    nothing = CorrectionsSettings()
    assert nothing.share_classes_in_force == SHARE_CLASSES
    assert nothing.renames_in_force == ()
    assert nothing.first_sessions_in_force == FIRST_SESSIONS


def test_the_classes_of_another_issuer_are_added(tmp_path: Path) -> None:
    text = 'share_classes = [{ issuer = "Liberty Global", tickers = ["LBTYA", "LBTYK"], valid_from = 2005-06-15 }]'
    found = corrections(tmp_path, text).share_classes_in_force
    begins, open_end = dt.date(2005, 6, 15), dt.date(9999, 12, 31)
    expected = {ShareClass(ticker, "Liberty Global", begins, open_end) for ticker in ("LBTYA", "LBTYK")}
    assert set(found) - set(SHARE_CLASSES) == expected
    assert set(SHARE_CLASSES) <= set(found)


def test_the_classes_of_a_known_issuer_are_replaced(tmp_path: Path) -> None:
    text = 'share_classes = [{ issuer = "Comcast", tickers = ["CMCSA", "CMCSK"], valid_to = "2015-12-15" }]'
    found = corrections(tmp_path, text).share_classes_in_force
    assert {(c.ticker, c.valid_to) for c in found if c.issuer == "Comcast"} == {
        ("CMCSA", dt.date(2015, 12, 15)),
        ("CMCSK", dt.date(2015, 12, 15)),
    }
    assert len(found) == len(SHARE_CLASSES)


def test_an_issuer_without_tickers_has_no_classes(tmp_path: Path) -> None:
    found = corrections(tmp_path, 'share_classes = [{ issuer = "Zillow", tickers = [] }]').share_classes_in_force
    assert {c.ticker for c in SHARE_CLASSES} - {c.ticker for c in found} == {"Z", "ZG"}


def test_renames_are_those_of_the_settings(tmp_path: Path) -> None:
    text = """renames = [
        { old = "SQ", new = "XYZ", date = 2025-01-21 },
        { old = "FB", new = "META", date = 2022-06-10 },
    ]"""
    found = corrections(tmp_path, text).renames_in_force
    assert set(found) == {
        Rename("SQ", "XYZ", dt.date(2025, 1, 21)),
        Rename("FB", "META", dt.date(2022, 6, 10)),
    }


def test_the_first_session_of_a_fund_is_replaced(tmp_path: Path) -> None:
    found = corrections(tmp_path, "first_sessions = { XLC = 2018-06-20 }").first_sessions_in_force
    assert found == {**FIRST_SESSIONS, "XLC": dt.date(2018, 6, 20)}


def test_the_environment_has_them_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_APP_CORRECTIONS__RENAMES", '[{"old": "SQ", "new": "XYZ", "date": "2025-01-21"}]')
    monkeypatch.setenv("SPARK_APP_CORRECTIONS__FIRST_SESSIONS", '{"XLC": "2018-06-20"}')
    found = load_settings().corrections
    assert found.renames_in_force[-1] == Rename("SQ", "XYZ", dt.date(2025, 1, 21))
    assert found.first_sessions_in_force["XLC"] == dt.date(2018, 6, 20)


@pytest.mark.parametrize(
    ("text", "place", "complaint"),
    [
        ('renames = [{ old = "FB", date = 2022-06-09 }]', "renames.0.new", "field required"),
        ('renames = [{ old = "fb", new = "META", date = 2022-06-09 }]', "renames.0.old", "'fb': expected a ticker in"),
        ('renames = [{ old = "FB", new = "FB", date = 2022-06-09 }]', "renames.0", "old and new must be two tickers"),
        (
            'renames = [{ old = "FB", new = "META", date = "June" }]',
            "renames.0.date",
            "'June': expected a date as YYYY",
        ),
        (
            'renames = [{ old = "FB", new = "META", on = 2022-06-09 }]',
            "renames.0.date",
            "corrections.renames.0.on: there is",
        ),
        ("renames = 3", "renames", "3: expected a list of tables, in the environment as JSON"),
        (
            'renames = [{ old = "A", new = "B", date = 2022-06-09 }, { old = "A", new = "C", date = 2022-06-09 }]',
            "renames",
            "the ticker A has two successors on 2022-06-09, B and C: keep one",
        ),
        (
            'share_classes = [{ issuer = "Google", tickers = ["GOOG", "GOOGL"] }]',
            "share_classes",
            "the ticker GOOG has two issuers on 2014-04-03, Google and Alphabet: keep one",
        ),
        (
            'share_classes = [{ issuer = "A", tickers = ["AA"], valid_from = 2020-01-02, valid_to = 2020-01-02 }]',
            "share_classes.0",
            "valid_to 2020-01-02 must be after valid_from 2020-01-02",
        ),
        ('share_classes = [{ issuer = "A", tickers = ["A A"] }]', "share_classes.0.tickers.0", "'A A': expected a"),
        ("first_sessions = { XYZ = 2018-06-19 }", "first_sessions", "unknown fund XYZ: choose from SPY, XLB"),
        ("first_sessions = { XLC = 1990-01-02 }", "first_sessions", "the day of XLC is before 1993-01-29"),
        ("first_sessions = { XLC = 7 }", "first_sessions.XLC", "7: expected a date as YYYY-MM-DD"),
        ("first_sessions = [2018-06-19]", "first_sessions", "expected a table, in the environment as JSON"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(tmp_path: Path, text: str, place: str, complaint: str) -> None:
    with pytest.raises(SettingsError) as refused:
        corrections(tmp_path, text)
    assert str(refused.value).startswith(f"setting corrections.{place}: ")
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_of_a_long_value_the_beginning_is_shown(tmp_path: Path) -> None:
    many = ", ".join(f'{{ issuer = "Issuer {n}", tickers = ["GOOG"] }}' for n in range(500))
    with pytest.raises(SettingsError, match=r"Issuer 0.*\.\.\.: the ticker GOOG has two issuers") as refused:
        corrections(tmp_path, f"share_classes = [{many}]")
    assert len(str(refused.value)) < 400
