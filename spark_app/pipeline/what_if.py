"""A what-if run: a stage computes, nothing is published, and what would differ from the served rows is shown."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict

from spark_app.pipeline.result import StageResult
from spark_app.pipeline.run import Run
from spark_app.pipeline.stage import Stage
from spark_app.storage.delta.failures import staging_in_use
from spark_app.storage.postgres.locks import tables_shared_lock
from spark_app.storage.postgres.publishing.difference import Difference, compare_with_served
from spark_app.storage.postgres.run_log import RowCounts
from spark_app.text_table import draw_table

logger = logging.getLogger(__name__)

_MOST_LINES = 200
_LONGEST_TEXT = 40
_HEADER = ("table", "date", "ticker", "column", "served", "computed")


def run_what_if(run: Run, stage: Stage) -> tuple[StageResult, RowCounts]:
    """Run a stage and compare what it computes with what is served; returns the rows that publishing would change.

    The differences are logged as a table and added to the findings of the run, for `--json`. The run log, the served
    tables and the topic stay as they are; another run of the stage is not kept waiting.
    Raises: SparkAppError: as the stage and the database do.
    """
    with tables_shared_lock(run.database), staging_in_use(run.staging.root):
        result = stage.run(run)
        comparison = run.database.retry_policy.call(
            lambda: compare_with_served(run.database, run.request.run_id, result.publications)
        )
    found = run.summary.findings.setdefault("differences", [])
    found += [asdict(difference) for difference in comparison.differences]
    logger.info("%s", draw_differences(comparison.differences))
    return result, comparison.counts


def draw_differences(differences: Sequence[Difference]) -> str:
    """Draw the first 200 differences as a table, long texts cut short; a sentence where there is none."""
    if not differences:
        return "nothing differs from what is served"
    table = draw_table(_HEADER, [_cells(difference) for difference in differences[:_MOST_LINES]], right={4, 5})
    more = len(differences) - _MOST_LINES
    return table + (f"\n... {more:,} more: --json FILE writes all of them" if more > 0 else "")


def _cells(difference: Difference) -> tuple[str, ...]:
    old, new = {
        "appears": ("no row", "row"),
        "goes": ("row", "no row"),
        "changed": (_text(difference.old), _text(difference.new)),
    }[difference.change]
    return (difference.table, str(difference.date), _row_name(difference), difference.column or "", old, new)


def _row_name(difference: Difference) -> str:
    """The ticker, with what else is in the key: the period of a trend, the fund of a holding."""
    others = [str(value) for value in difference.key.values() if value not in (difference.date, difference.ticker)]
    return " ".join([difference.ticker, *(f"({other})" for other in others)])


def _text(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
