"""A section of the settings: unknown keys are refused, and values are read strictly; and the files that have them."""

from __future__ import annotations

import re
import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator


class Section(BaseModel):
    """The base of every section."""

    # Built at the first use: `--help` reads one or two of them.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @field_validator("*", mode="before")
    @classmethod
    def _read_strictly(cls, value: object) -> object:
        """Refuse what pydantic would take for a number: true for 1, and digits of other scripts."""
        if isinstance(value, bool):
            raise ValueError("expected a number or a text, not true or false")
        if isinstance(value, str) and not value.isascii() and re.fullmatch(r"[\d\s.,+-]+", value):
            raise ValueError("expected digits from 0 to 9")
        return value


def read_toml(file: Path | Traversable) -> dict[str, Any]:
    """Read a TOML file, also with the mark that editors on Windows write before the text.

    Raises: OSError: it cannot be read. ValueError: it is not UTF-8, or not TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except RecursionError as error:
        raise ValueError("too many brackets in each other") from error
