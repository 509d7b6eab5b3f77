"""What a run publishes: rows for a served table, and of which rows it decides alone."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame

from spark_app.schemas import ServedTable


@dataclass(frozen=True)
class RowSet:
    """The rows of a table that a run replaces as a whole, for example those of one as-of date.

    A merge removes stale rows: those of the set that the run did not produce.
    """

    columns: tuple[str, ...]
    values: tuple[tuple[object, ...], ...]


@dataclass(frozen=True)
class Publication:
    """Rows for one served table, without `run_id`; `owned` if they form a set.

    Publications that share one DataFrame are loaded once; `only` then names the tickers of each.
    """

    table: ServedTable
    rows: DataFrame
    owned: RowSet | None = None
    only: tuple[str, ...] | None = None
