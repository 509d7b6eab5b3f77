"""Retention in staging, the only code that removes rows from staging tables, or rewrites their files.

Nothing else may write at the same time (`storage/postgres/locks.py`: `tables_exclusive_lock`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Sequence

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from spark_app.storage.delta.failures import translated_staging_errors
from spark_app.storage.delta.staging import FETCHES_TABLE, WHOLE_FROM, Staging

_VACUUM_SETTINGS = {
    # Delta rejects less than a week because of concurrent writers: here there are none.
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",
    # Delta would list one folder with 10,000 tasks.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "8",
}


def remove_rows(staging: Staging, table: str, doomed: DataFrame, key: Sequence[str]) -> None:
    """Remove the rows whose key is in `doomed`, in one commit.

    Columns in: `key`.
    Raises: ServiceUnavailableError.
    """
    same = " AND ".join(f"staged.{name} = doomed.{name}" for name in key)
    with _translated(staging, table) as staged:
        staged.alias("staged").merge(doomed.select(*key).distinct().alias("doomed"), same).whenMatchedDelete().execute()


def note_whole_from(staging: Staging, moment: dt.datetime) -> None:
    """Record the moment from which on everything that was known is kept; it never moves back."""
    known = staging.property_of(FETCHES_TABLE, WHOLE_FROM)
    noted = moment.astimezone(dt.UTC).isoformat()
    if known is None or dt.datetime.fromisoformat(known) < moment:
        staging.note_property(FETCHES_TABLE, WHOLE_FROM, noted)


def narrow_charts(staging: Staging, kept_from: DataFrame) -> None:
    """Shorten the window of landed charts to the sessions whose bars are kept.

    Columns in: ticker, kept_from, unique per ticker.
    Raises: ServiceUnavailableError.
    """
    same = "staged.ticker = kept.ticker AND staged.kind = 'chart' AND staged.window_start < kept.kept_from"
    with _translated(staging, FETCHES_TABLE) as staged:
        merge = staged.alias("staged").merge(kept_from.alias("kept"), same)
        merge.whenMatchedUpdate(set={"window_start": "kept.kept_from"}).execute()


def compact(staging: Staging, table: str) -> None:
    """Rewrite the small files of a table into few large ones, in one commit that changes no row.

    Raises: ServiceUnavailableError.
    """
    with _translated(staging, table) as staged:
        staged.optimize().executeCompaction()


def reclaim(staging: Staging, table: str, *, unused_for: dt.timedelta) -> None:
    """Delete the files that no version has used for `unused_for`.

    Raises: ServiceUnavailableError.
    """
    with _translated(staging, table) as staged, _vacuum_settings(staging.spark):
        staged.vacuum(unused_for.total_seconds() / 3600)


@contextlib.contextmanager
def _vacuum_settings(spark: SparkSession) -> Iterator[None]:
    before = {name: spark.conf.get(name, None) for name in _VACUUM_SETTINGS}
    try:
        for name, value in _VACUUM_SETTINGS.items():
            spark.conf.set(name, value)
        yield
    finally:
        for name, known in before.items():
            spark.conf.unset(name) if known is None else spark.conf.set(name, known)


@contextlib.contextmanager
def _translated(staging: Staging, table: str) -> Iterator[DeltaTable]:
    place = staging.path(table)
    with translated_staging_errors(f"cutting {place}", staging.root):
        yield DeltaTable.forPath(staging.spark, place)
