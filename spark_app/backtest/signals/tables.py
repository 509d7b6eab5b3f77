"""Arrow tables, read row by row, which is several times as fast as `DataFrame.collect`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa


def read_rows(table: pa.Table, *columns: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a table, of these columns only."""
    return zip(*(table[name].to_pylist() for name in columns), strict=True)


def distinct_rows(table: pa.Table, *columns: str) -> Iterator[tuple[Any, ...]]:
    """The distinct rows of a table, of these columns only, in any order."""
    return read_rows(table.group_by(list(columns)).aggregate([]), *columns)
