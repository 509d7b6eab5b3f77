"""Where pages are: a file per as-of date, the newest also by a fixed name. Files are written whole or not at all."""

from __future__ import annotations

import datetime as dt
import os
import secrets
from pathlib import Path

from spark_app.config.installation import app_home
from spark_app.errors import UsageError

LATEST = "report.html"


def report_folder() -> Path:
    """The folder of the pages."""
    return app_home() / "reports"


def page_file(as_of: dt.date) -> Path:
    """The file of the page of a date."""
    return report_folder() / f"report-{as_of}.html"


def write_page_file(file: Path, content: bytes) -> None:
    """Write a page, whole, into a folder that is made where it is missing.

    Raises: UsageError: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content)
    except OSError as error:
        raise UsageError(f"cannot write the page {file}: {error.strerror}") from error


def write_whole(file: Path, content: bytes, *, mode: int | None = None) -> None:
    """Write a file beside its place and move it there, so that a reader sees the old one or the new one.

    Args:
        mode: its permissions; None for those of new files.
    Raises: OSError: the place cannot be written.
    """
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if mode is not None:
            unfinished.chmod(mode)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
