"""The job `report`, and the page at the end of `daily_pipeline`."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from spark_app.config.settings import Settings
from spark_app.errors import SparkAppError
from spark_app.results.files import LATEST, page_file, report_folder, write_page_file
from spark_app.results.page.browser import picture_of, show
from spark_app.results.page.reading import newest_date, read_facts
from spark_app.results.page.rendering import render_page
from spark_app.storage.postgres.database import Database

if TYPE_CHECKING:
    from spark_app.pipeline.request import Request
    from spark_app.pipeline.run import Run

logger = logging.getLogger(__name__)


def make_report(request: Request, settings: Settings, database: Database) -> int:
    """Make the page of the named date, else of the newest one; returns 0.

    Raises: DataIncompleteError: no results. UsageError: none of the date, or the place cannot be written.
        ServiceUnavailableError: no browser for the picture.
    """
    as_of = request.as_of if request.is_as_of_given else None
    file = write_page(database, settings, as_of, out=Path(request.out) if request.out else None)
    logger.info("report: %s", file)
    if request.png:
        write_page_file(Path(request.png), picture_of(file))
        logger.info("report: picture %s", request.png)
    if request.opens and not show(file):
        logger.warning("report: no desktop here to open it on")
    return 0


def report_after(run: Run) -> None:
    """Make the page when a pipeline has ended; a page that cannot be made is a warning and nothing more."""
    try:
        newest = newest_date(run.database)
        if newest is None:
            return
        # A date of the past has a page of its own; after a failure the newest results are shown.
        as_of = run.as_of if run.request.is_as_of_given and run.as_of < newest else newest
        logger.info("report: %s", write_page(run.database, run.settings, as_of))
    except SparkAppError as error:
        logger.warning("report: no page was made: %s", error)
    except Exception:
        logger.warning("report: no page was made: unexpected error", exc_info=True)


def write_page(database: Database, settings: Settings, as_of: dt.date | None, *, out: Path | None = None) -> Path:
    """Write the page of a date, None for the newest, to `out` or its place under SPARK_APP_HOME; returns the file.

    The page of the newest date is also `report.html` there.
    Raises: DataIncompleteError: no results. UsageError: none of the date, or the place cannot be written.
    """
    facts = read_facts(database, as_of, now=dt.datetime.now(dt.UTC), basis_sessions=settings.portfolio.basis_sessions)
    content = render_page(facts).encode()
    file = out or page_file(facts.as_of)
    write_page_file(file, content)
    if out is None and facts.as_of == newest_date(database):
        write_page_file(report_folder() / LATEST, content)
    return file
