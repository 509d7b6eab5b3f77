"""Where pages are: a file per as-of date, the newest also under a fixed name; each is written whole or not at all."""

from __future__ import annotations

import datetime as dt
import os
import secrets
from pathlib import Path

from spark_app.config.settings import app_home
from spark_app.errors import UsageError

LATEST = "report.html"


def report_folder() -> Path:
    """The folder of the pages."""
    return app_home() / "reports"


def page_file(as_of: dt.date) -> Path:
    """The file of the page of a date."""
    return report_folder() / f"report-{as_of}.html"


def write_whole(file: Path, content: bytes) -> None:
    """Write a file beside its place and move it there, so that a reader sees the old one or the new one.

    Raises: UsageError: the place cannot be written.
    """
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write the page {file}: {error.strerror}") from error
