"""Secrets: read from the environment or a file that it names, and kept out of foreign text and Python's logs."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from spark_app.errors import SettingsError

if TYPE_CHECKING:
    from pydantic import SecretStr

_PY4J_LOGGERS = ("py4j.clientserver", "py4j.java_gateway")

_PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy")
_URL_VARIABLES = ("DATABASE_URL", "DATABASE_ADMIN_URL", *_PROXY_VARIABLES)
_SECRET_VARIABLES = ("KAFKA_PASSWORD", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_HIDDEN = "***"
# A shorter one is found inside ordinary words; in a URL it is hidden by its place.
_SHORTEST = 4
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# With a scheme a password may have any character but a slash and a space.
_USER_INFO = re.compile(r"(?<=://)[^\s/]*@|[\w.%+~-]+:[^\s/@:,;{}\"'<>]+@(?=[\w\[])")

_from_files: set[str] = set()


def secret_of(variable: str) -> SecretStr | None:
    """Return the value of an environment variable, None if it is unset or empty."""
    value = os.environ.get(variable)
    return _secret(value) if value else None


def secret_in_file_of(variable: str) -> SecretStr | None:
    """Return the content, stripped, of the file that an environment variable names, None if it is unset or empty.

    Raises: SettingsError: the file cannot be read, or is empty.
    """
    file = os.environ.get(variable)
    if not file:
        return None
    try:
        secret = Path(file).read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError:
        # Its text repeats a byte of the password.
        raise SettingsError(f"{variable}: cannot read {file}: it is not UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{variable}: cannot read {file}: {error}") from error
    if not secret:
        raise SettingsError(f"{variable}: cannot read {file}: it is empty")
    _from_files.add(secret)
    return _secret(secret)


def _secret(value: str) -> SecretStr:
    # Workers hide secrets, too, but read none: they start without pydantic.
    from pydantic import SecretStr

    return SecretStr(value)


def without_secrets(text: str) -> str:
    """Hide all known secrets, and the `user:password@` of any URL, in a text that others wrote."""
    text = _USER_INFO.sub(f"{_HIDDEN}@", text)
    for secret in sorted(_known_secrets(), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def check_proxies() -> None:
    """Refuse a proxy variable that libcurl would not understand: its message would repeat the password.

    Raises: SettingsError, which names the variable and not its value.
    """
    for variable in _PROXY_VARIABLES:
        if not _is_proxy(os.environ.get(variable, "")):
            raise SettingsError(
                f"environment variable {variable} is not the URL of a proxy: expected http://USER:PASSWORD@HOST:PORT,"
                " with the special characters of user and password percent-encoded (# as %23, @ as %40, / as %2F)"
            )


def _is_proxy(value: str) -> bool:
    if not value:
        return True
    try:
        url = urlsplit(value if "://" in value else f"http://{value}")
        is_complete = bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        return False
    has_rest = url.path not in ("", "/") or url.query or url.fragment or value.endswith(("#", "?"))
    is_encoded = url.netloc.count("@") <= 1 and not _BAD_PERCENT.search(url.netloc) and value.isprintable()
    return url.scheme in _PROXY_SCHEMES and is_complete and is_encoded and not has_rest and " " not in value


def _known_secrets() -> set[str]:
    found = {os.environ.get(variable, "") for variable in _SECRET_VARIABLES} | _from_files
    for variable in _URL_VARIABLES:
        # Not by urlsplit: a URL that it cannot read has a password, too.
        user_info, _, _ = os.environ.get(variable, "").rpartition("@")
        user, _, password = user_info.rpartition("://")[2].partition(":")
        if password != user:  # Otherwise ordinary words of our messages, such as spark_app, would be hidden.
            found |= {password, unquote(password)}
    return {secret for secret in found if len(secret) >= _SHORTEST}


def keep_secrets_out_of_python_logs() -> None:
    """Let Py4J log the methods that it calls without their arguments; idempotent.

    At DEBUG it logs the arguments of each call from Python to Java: the database's password, and what workers get.
    """
    for name in _PY4J_LOGGERS:
        logging.getLogger(name).addFilter(_cut_arguments)


def _cut_arguments(record: logging.LogRecord) -> bool:
    """Keep the kind and target of a command, and the method of a call (`c`); the arguments follow, one a line."""
    message = str(record.msg)
    if message.startswith("Command to send: "):
        kind, *rest = message.splitlines()
        record.msg = "\n".join([kind, *rest[: 2 if kind.endswith(" c") else 1]])
    return True
