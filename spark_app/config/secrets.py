"""Secrets come from the environment, or from a file that it names."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import SecretStr

from spark_app.errors import SettingsError


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
