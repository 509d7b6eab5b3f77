"""The page at the end of `backtest`."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from spark_app import __version__
from spark_app.errors import SparkAppError
from spark_app.results.backtest.facts import Origin, facts_of
from spark_app.results.backtest.rendering import render_backtest
from spark_app.results.files import report_folder, write_page_file
from spark_app.results.page.browser import show
from spark_app.schemas import BACKTEST_RUN

if TYPE_CHECKING:
    from spark_app.pipeline.run import Run

logger = logging.getLogger(__name__)


def page_after(run: Run) -> None:
    """Make the page of the backtest that has ended; one that cannot be made is a warning and nothing more."""
    report = run.summary.reports[-1] if run.summary.reports else None
    if report is None or report.exit_code or BACKTEST_RUN.name not in run.summary.findings:
        return
    try:
        file = write_backtest_page(run, is_stored=report.status != "what_if")
        logger.info("backtest: page %s", file)
        if run.request.opens and not show(file):
            logger.warning("backtest: no desktop here to open the page on")
    except SparkAppError as error:
        logger.warning("backtest: no page was made: %s", error)
    except Exception:
        logger.warning("backtest: no page was made: unexpected error", exc_info=True)


def write_backtest_page(run: Run, *, is_stored: bool) -> Path:
    """Write the page of a backtest to `--out` or its place under SPARK_APP_HOME; returns the file.

    Raises: UsageError: the place cannot be written.
    """
    origin = Origin(
        run_id=run.request.run_id,
        code_version=__version__,
        made_at=dt.datetime.now(dt.UTC),
        data_origin=run.settings.data_origin,
        is_stored=is_stored,
        staging_versions=dict(run.staging.versions_read),
        universe_file=run.request.universe_file,
    )
    facts = facts_of(run.summary.findings, origin)
    file = Path(run.request.out) if run.request.out else report_folder() / f"backtest-{facts.run['backtest_id']}.html"
    write_page_file(file, render_backtest(facts).encode())
    return file
