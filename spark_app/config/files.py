"""The settings of `--source files`."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from spark_app.config.section import Section

ADJUSTED, UNADJUSTED = "adjusted", "unadjusted"


def _read_basis(value: object) -> object:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value.isoformat()
    if value in (ADJUSTED, UNADJUSTED):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        try:
            return dt.date.fromisoformat(value).isoformat()
        except ValueError:
            pass
    raise ValueError("expected adjusted, unadjusted, or a date as YYYY-MM-DD")


class FilesSettings(Section):
    """The user's own files, of `import_files` and `--source files`; see docs/FILES.md."""

    folder: str = Field(default="", description="the folder or URL with the files; `--files` of import_files")
    split_basis: Annotated[str, BeforeValidator(_read_basis)] = Field(
        default=ADJUSTED,
        description="the splits that the closes contain: adjusted: all that are listed; unadjusted: none, each row is"
        " as it was traded; or a date as YYYY-MM-DD: those up to it",
    )
    rejected_percent: Annotated[float, Field(ge=0, le=100)] = Field(
        default=5.0,
        description="largest share of the rows of a file that may be rejected, in percent; above it nothing is saved",
    )
