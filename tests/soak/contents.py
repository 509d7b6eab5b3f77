"""What an installation holds, read without the pipeline: the served tables and the Delta staging.

Which run and fetch a row came from, and when, does not count.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psycopg
import pyarrow.parquet as pq
from psycopg import sql
from psycopg.rows import dict_row

from tests.integration.expected import Rows
from tests.integration.world import KEYS, differences

_STAGED = {
    "bars": ("ticker", "trade_date"),
    "holdings": ("etf_ticker", "snapshot_date", "holding_ticker"),
    "quotes": ("ticker", "quoted_at"),
}
_NOT_COMPARED = {"run_id", "fetched_at", "requests", "seconds"}

Contents = dict[str, Rows]


def read_contents(connection: psycopg.Connection, staging: Path) -> Contents:
    """Read every table; a key that comes twice has its second row under another number."""
    served = {name: _numbered(_served(connection, name), key) for name, key in KEYS.items()}
    errors = connection.cursor(row_factory=dict_row).execute(
        "SELECT DISTINCT error_msg, raw_value FROM logs_consumer_error"
    )
    staged = {f"staging {name}": _numbered(_staged(staging / name), key) for name, key in _STAGED.items()}
    return {
        **served,
        "logs_consumer_error": _numbered(errors, ("error_msg", "raw_value")),
        **staged,
        "staging fetches": _newest_fetches(staging / "fetches"),
    }


def different_rows(actual: Contents, expected: Contents) -> list[str]:
    """Describe every difference, each with its table; [] where all tables are equal."""
    return [f"{name} {row}" for name in expected for row in differences(actual[name], expected[name])]


def commits_of(table: Path) -> list[Path]:
    """List the commits of a Delta table in order; [] where there is no table."""
    return sorted((table / "_delta_log").glob("[0-9]*.json"))


def _served(connection: psycopg.Connection, name: str) -> Iterable[dict[str, Any]]:
    query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(name))
    return connection.cursor(row_factory=dict_row).execute(query)


def _staged(table: Path) -> list[dict[str, Any]]:
    """Read the rows of a Delta table by the rules of its protocol: the files added and not removed."""
    files: dict[str, None] = {}
    for commit in commits_of(table):
        for action in map(json.loads, commit.read_text().splitlines()):
            if "add" in action:
                files[unquote(action["add"]["path"])] = None
            elif "remove" in action:
                files.pop(unquote(action["remove"]["path"]), None)
    return [row for name in files for row in pq.read_table(table / name, partitioning=None).to_pylist()]


def _newest_fetches(table: Path) -> Rows:
    """The newest answer for each ticker: a ticker may be asked again after a kill."""
    newest = {(row["kind"], row["ticker"]): row for row in sorted(_staged(table), key=lambda row: row["fetched_at"])}
    return _numbered(newest.values(), ("kind", "ticker"))


def _numbered(rows: Iterable[Mapping[str, Any]], key: tuple[str, ...]) -> Rows:
    seen: Counter[tuple[Any, ...]] = Counter()
    numbered: Rows = {}
    for row in rows:
        values = tuple(row[column] for column in key)
        seen[values] += 1
        numbered[*values, seen[values]] = {c: v for c, v in row.items() if c not in key and c not in _NOT_COMPARED}
    return numbered
