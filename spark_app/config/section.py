"""A section of the settings: unknown keys are refused, and values are read strictly."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, field_validator


class Section(BaseModel):
    """The base of every section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _read_strictly(cls, value: object) -> object:
        """Refuse what pydantic would take for a number: true for 1, and digits of other scripts."""
        if isinstance(value, bool):
            raise ValueError("expected a number or a text, not true or false")
        if isinstance(value, str) and not value.isascii() and re.fullmatch(r"[\d\s.,+-]+", value):
            raise ValueError("expected digits from 0 to 9")
        return value
