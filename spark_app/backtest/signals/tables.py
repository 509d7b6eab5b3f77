"""Tables of Arrow, read row by row: several times as fast as collecting the rows of Spark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa


def rows_of(table: pa.Table, *columns: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a table, of these columns only."""
    return zip(*(table[name].to_pylist() for name in columns), strict=True)
