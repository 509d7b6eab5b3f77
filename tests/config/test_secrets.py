"""Secrets: foreign text, the logs of Py4J, and the proxies of the environment."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from spark_app.config.secrets import (
    check_proxies,
    keep_secrets_out_of_python_logs,
    secret_in_file_of,
    without_secrets,
)
from spark_app.errors import SettingsError


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Command to send: c\no12\noption\nspassword\nss3cret\ne\n", "Command to send: c\no12\noption"),
        ("Command to send: m\nd\no12\ne\n", "Command to send: m\nd"),
        ("Answer received: !yv", "Answer received: !yv"),
    ],
)
@pytest.mark.parametrize("name", ["py4j.clientserver", "py4j.java_gateway"])
def test_py4j_logs_the_method_of_a_call_without_its_arguments(
    name: str, message: str, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        keep_secrets_out_of_python_logs()
    with caplog.at_level(logging.DEBUG, name):
        logging.getLogger(name).debug(message)
    assert caplog.messages == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("syntax in 'http://user:pass#word@h:3128': bad", "syntax in 'http://***@h:3128': bad"),
        ("proxy http://user:p@ss@h:3128", "proxy http://***@h:3128"),
        ("proxy user:pass@h:3128", "proxy ***@h:3128"),
        ("postgresql://u:pw@db:5432/name", "postgresql://***@db:5432/name"),
        ("the port is pass#word", "the port is ***"),
        ("the file says from-a-file", "the file says ***"),
        ("decoded: pass/word, encoded: pass%2Fword", "decoded: ***, encoded: ***"),
        ("at 12:30, write to a@b.com", "at 12:30, write to a@b.com"),
        ('{"mail":"a@b.com"}', '{"mail":"a@b.com"}'),
        ("the tables of spark_app", "the tables of spark_app"),
    ],
)
def test_foreign_text_loses_passwords(
    text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("from-a-file\n")
    monkeypatch.setenv("KAFKA_PASSWORD_FILE", str(file))
    assert secret_in_file_of("KAFKA_PASSWORD_FILE") is not None
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pass#word@h:3128")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:pass%2Fword@db/x")
    monkeypatch.setenv("DATABASE_ADMIN_URL", "postgresql://spark_app:spark_app@db/x")
    assert without_secrets(text) == expected


@pytest.mark.parametrize(
    "value",
    [
        *("http://user:pass#word@host:3128", "http://user:pa/ss@host:3128", "http://user:pa?ss@host:3128"),
        *("http://user:p@ss@host:3128", "http://user:p%zz@host:3128", "http://user:pa ss@host:3128"),
        *("http://host:port", "host:99999", "http://user:pass@:3128", "ftp://host:3128", "http://host:3128#"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_that_libcurl_would_not_understand_is_refused_without_its_password(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        check_proxies()
    assert f"environment variable {variable} is not the URL of a proxy" in str(refused.value)
    assert "percent-encoded (# as %23" in str(refused.value)
    assert value not in str(refused.value)


@pytest.mark.parametrize(
    "value", ["", "host:3128", "http://host:3128/", "http://user:pass%23word@host:3128", "socks5h://[::1]:1080"]
)
def test_a_proxy_is_accepted(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    check_proxies()
