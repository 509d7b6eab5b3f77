"""Settings: the order of their sources, and one sentence for each mistake."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from spark_app.config.installation import PROJECT_ROOT, app_home
from spark_app.config.settings import load_database_settings, load_settings
from spark_app.errors import SettingsError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SPARK_APP_HOME", "DATABASE_URL", "DATABASE_PASSWORD_FILE"):
        monkeypatch.delenv(variable, raising=False)


def test_the_file_that_comes_with_the_project_says_what_the_code_would_do_without_it(tmp_path: Path) -> None:
    empty = tmp_path / "empty.toml"
    empty.touch()
    assert load_settings().model_dump() == load_settings(config_file=str(empty)).model_dump()


def test_command_line_beats_environment_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[fetch]\ndelay_seconds = 1\nmax_retries = 1\nwave_size = 1\n")
    monkeypatch.setenv("SPARK_APP_FETCH__DELAY_SECONDS", "2")
    monkeypatch.setenv("SPARK_APP_FETCH__MAX_RETRIES", "2")
    fetch = load_settings(config_file=str(file), overrides={"fetch": {"delay_seconds": 3.0}}).fetch
    assert (fetch.delay_seconds, fetch.max_retries, fetch.wave_size) == (3.0, 2, 1)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_APP_FETCH__DELAY_SECONDS", "")
    monkeypatch.setenv("SPARK_APP_HOME", "")
    assert load_settings().fetch.delay_seconds == 5.0
    assert app_home() == PROJECT_ROOT / "var"


def test_a_largest_weight_is_read_exactly(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[portfolio]\nmax_weight = 0.1\n")
    assert load_settings(config_file=str(file)).portfolio.max_weight == Decimal("0.1")


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("SPARK_APP_FETCH__DELAY_SECONDS", "abc", "fetch.delay_seconds: 'abc'"),
        ("SPARK_APP_FETCH__DELAY_SECONDS", "-1", "fetch.delay_seconds: '-1'"),
        ("SPARK_APP_FETCH__DELAY", "1", "SPARK_APP_FETCH__DELAY: there is no such setting"),
        ("SPARK_APP_FETHC__DELAY_SECONDS", "1", "SPARK_APP_FETHC__DELAY_SECONDS: there is no such setting"),
        ("SPARK_APP_SOURCE__NAME", "nasdaq", "source.name: 'nasdaq'"),
        ("SPARK_APP_SOURCE__ENDPOINT", "nowhere", "source.endpoint: 'nowhere'"),
        ("SPARK_APP_PORTFOLIO__BASIS_SESSIONS", "7", "portfolio.basis_sessions: 7"),
        ("SPARK_APP_PORTFOLIO__MAX_WEIGHT", "0.123456789", "portfolio.max_weight"),
        ("SPARK_APP_PORTFOLIO__MAX_WEIGHT", "1.5", "portfolio.max_weight"),
        ("SPARK_APP_GATE__ETF_COVERAGE", "2", "gate.etf_coverage"),
    ],
)
def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, complaint: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=complaint) as refusal:
        load_settings()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[fetch]\ndelay = 1\n", "fetch.delay: there is no such setting"),
        ("[fetch\n", "cannot read the settings file"),
        ("a = " + "[" * 3000, "cannot read the settings file .*: too many brackets in each other"),
        ('[staging]\npath = "a\\u0000b"\n', "staging.path: .* expected a path without control characters"),
        ("[portfolio]\ntop_n_per_sector = 0\n", "portfolio.top_n_per_sector: 0"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=complaint):
        load_settings(config_file=str(file))


def test_a_file_of_an_editor_that_marks_utf8_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, secret = tmp_path / "own.toml", tmp_path / "secret"
    file.write_text("[fetch]\r\ndelay_seconds = 6\r\n", encoding="utf-8-sig")
    secret.write_text("s3cret\r\n", encoding="utf-8-sig")
    assert load_settings(config_file=str(file)).fetch.delay_seconds == 6
    monkeypatch.setenv("DATABASE_PASSWORD_FILE", str(secret))
    assert load_database_settings().password == SecretStr("s3cret")


def test_a_password_file_that_is_not_utf8_shows_no_byte_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes("s\xe9cret".encode("latin-1"))
    monkeypatch.setenv("DATABASE_PASSWORD_FILE", str(secret))
    with pytest.raises(SettingsError, match=f"^DATABASE_PASSWORD_FILE: cannot read {secret}: it is not UTF-8$"):
        load_database_settings()


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SettingsError, match="no-such-file.toml"):
        load_settings(config_file="no-such-file.toml")


def test_a_password_may_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    monkeypatch.setenv("DATABASE_PASSWORD_FILE", str(secret))
    settings = load_database_settings()
    assert settings.password is not None
    assert settings.password.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings)
    monkeypatch.setenv("DATABASE_PASSWORD_FILE", str(tmp_path / "missing"))
    with pytest.raises(SettingsError, match="DATABASE_PASSWORD_FILE"):
        load_database_settings()


@pytest.mark.parametrize("content", ["", " \n"])
def test_a_password_file_that_has_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    file = tmp_path / "password"
    file.write_text(content)
    monkeypatch.setenv("DATABASE_PASSWORD_FILE", str(file))
    with pytest.raises(SettingsError, match=f"^DATABASE_PASSWORD_FILE: cannot read {file}: "):
        load_database_settings()


def test_corrections_of_the_calendar_come_from_the_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = (dt.date(2024, 5, 15), dt.date(2025, 1, 9))
    file = tmp_path / "settings.toml"
    for written in ('[2025-01-09, "2024-05-15", 2025-01-09]', '"2025-01-09, 2024-05-15"'):
        file.write_text(f"[calendar]\nclosures = {written}\n")
        assert load_settings(config_file=str(file)).calendar.closures == days
    monkeypatch.setenv("SPARK_APP_CALENDAR__CLOSURES", "2025-01-09,2024-05-15")
    assert load_settings().calendar.closures == days
    monkeypatch.setenv("SPARK_APP_CALENDAR__CLOSURES", "")
    assert load_settings().calendar.closures == ()


@pytest.mark.parametrize("written", ["2025-1-x", "2025-02-30", "9", "2025-01-09T10:00", "[2025-01-09]"])
def test_a_correction_that_is_no_date(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_APP_CALENDAR__EXTRA_SESSIONS", written)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value) == f"setting calendar.extra_sessions: {written!r}: expected dates as YYYY-MM-DD"


def test_a_day_is_not_both_a_closure_and_an_extra_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_APP_CALENDAR__CLOSURES", "2025-01-09")
    monkeypatch.setenv("SPARK_APP_CALENDAR__EXTRA_SESSIONS", "2025-01-09")
    with pytest.raises(SettingsError, match="2025-01-09 is both a closure and an extra session"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[fetch]\ndelay_seconds = true\n", "setting fetch.delay_seconds: True: expected a number or a text"),
        ("[kafka]\ntimeout_seconds = false\n", "setting kafka.timeout_seconds: False: expected a number or a text"),
        ("[fetch]\nwave_size = '\uff15'\n", "setting fetch.wave_size: '\uff15': expected digits from 0 to 9"),
        (
            "[portfolio]\nbasis_sessions = '\u00b2'\n",
            "setting portfolio.basis_sessions: '\u00b2': input should be 5, 10 or 20",
        ),
        (
            "[portfolio]\nmax_weight = '\u0660.5'\n",
            "setting portfolio.max_weight: '\u0660.5': expected digits from 0 to 9",
        ),
    ],
)
def test_values_are_read_strictly(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load_settings(config_file=str(file))
    assert complaint in str(refused.value)


def test_settings_of_another_kind_of_data() -> None:
    settings = load_settings()
    assert settings.of_origin("real") is settings
    synthetic = settings.of_origin("synthetic")
    assert (synthetic.data_origin, synthetic.source.timeout_seconds) == ("synthetic", settings.source.timeout_seconds)
    assert synthetic.of_origin("real") == settings
