"""Secrets: read from the environment or a file that it names, and kept out of Python's logs."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from pydantic import SecretStr

from spark_app.errors import SettingsError

_PY4J_LOGGERS = ("py4j.clientserver", "py4j.java_gateway")


def secret_of(variable: str) -> SecretStr | None:
    """Return the value of an environment variable, None if it is unset or empty."""
    value = os.environ.get(variable)
    return SecretStr(value) if value else None


def secret_in_file_of(variable: str) -> SecretStr | None:
    """Return the content, stripped, of the file that an environment variable names, None if it is unset or empty.

    Raises: SettingsError: the file cannot be read.
    """
    file = os.environ.get(variable)
    if not file:
        return None
    try:
        return SecretStr(Path(file).read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}: cannot read {file}: {error}") from error


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
