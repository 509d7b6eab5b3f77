"""What publishing would change: computed rows compared with the served ones; nothing is merged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import psycopg
from psycopg import sql

from spark_app.schemas import ServedTable
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.publishing.publication import Publication
from spark_app.storage.postgres.publishing.publish import joined_columns, loaded_rows, stale_rows
from spark_app.storage.postgres.publishing.served_columns import check_columns
from spark_app.storage.postgres.run_log import RowCounts


@dataclass(frozen=True)
class Difference:
    """One value that publishing would change, or one row that it would insert or remove.

    Attributes:
        change: `changed`, `appears` or `goes`.
        key: the primary key; `date` and `ticker` are parts of it.
        column: the column whose value differs, None for a row that appears or goes.
        old, new: the served and the computed value; of a row that appears or goes its values by column, and None.
    """

    table: str
    change: str
    date: dt.date
    ticker: str
    column: str | None
    old: object
    new: object
    key: Mapping[str, object]


@dataclass(frozen=True)
class Comparison:
    """The differences, table by table in the order of their keys, and the number of rows behind them."""

    counts: RowCounts
    differences: tuple[Difference, ...]


def compare_with_served(database: Database, run_id: str, publications: Sequence[Publication]) -> Comparison:
    """Compare computed rows with the served ones, as a merge would; `run_id` and `fetched_at` are not compared.

    Raises: ServiceUnavailableError: Postgres failed. SparkAppError: it rejects a row, or a served table was changed by
        hand.
    """
    counts, differences = RowCounts(), list[Difference]()
    with translated_errors("comparing with the served rows"), database.connect() as connection:
        check_columns(connection, [p.table for p in publications])
        with loaded_rows(database, connection, run_id, publications) as loaded:
            for publication, rows in loaded:
                total, changed, going = _read(connection, publication, rows)
                counts += _counted(total, changed, going)
                differences += _described(publication.table, changed, going)
    return Comparison(counts, tuple(differences))


_Row = tuple[object, ...]


def _read(
    connection: psycopg.Connection, publication: Publication, rows: sql.Composable
) -> tuple[int, list[_Row], list[_Row]]:
    """Return the number of computed rows; those that are new or differ; the served rows that would be removed.

    A row that is new or differs: whether it is served, its key, the served values, the computed values.
    """
    table = publication.table
    names = {"target": sql.Identifier(table.name), "loading": rows, "key": joined_columns(table.key)}
    served, loaded = joined_columns(table.compared, "served"), joined_columns(table.compared, "loaded")
    differing = sql.SQL(
        "SELECT served.{first_key} IS NOT NULL, {key}, {served}, {loaded}"
        " FROM {loading} AS loaded LEFT JOIN {target} AS served USING ({key})"
        " WHERE served.{first_key} IS NULL OR ({served}) IS DISTINCT FROM ({loaded}) ORDER BY {key}"
    ).format(**names | {"first_key": sql.Identifier(table.key[0]), "served": served, "loaded": loaded})
    count = sql.SQL("SELECT count(*) FROM {loading} AS loaded").format(**names)
    changed = connection.execute(differing).fetchall()
    ((total,),) = connection.execute(count).fetchall()
    if publication.owned is None or not publication.owned.values:
        return total, changed, []
    columns = {"columns": joined_columns((*table.key, *table.compared), "served")}
    stale = stale_rows(publication.owned, table, names)
    query = sql.SQL("SELECT {columns} FROM {target} AS served WHERE {stale} ORDER BY {key}")
    return total, changed, connection.execute(query.format(**names, **columns, stale=stale)).fetchall()


def _counted(total: int, changed: Sequence[_Row], going: Sequence[_Row]) -> RowCounts:
    updated = sum(bool(row[0]) for row in changed)
    inserted = len(changed) - updated
    return RowCounts(inserted, updated, total - len(changed), len(going))


def _described(table: ServedTable, changed: Sequence[_Row], going: Sequence[_Row]) -> list[Difference]:
    keys, columns = len(table.key), table.compared
    found: list[Difference] = []
    for is_served, *rest in changed:
        key, old, new = rest[:keys], rest[keys : keys + len(columns)], rest[keys + len(columns) :]
        if is_served:
            values = zip(columns, old, new, strict=True)
            found += [_difference(table, "changed", key, *value) for value in values if value[1] != value[2]]
        else:
            found.append(_difference(table, "appears", key, None, None, dict(zip(columns, new, strict=True))))
    for row in going:
        values_by_column = dict(zip(columns, row[keys:], strict=True))
        found.append(_difference(table, "goes", row[:keys], None, values_by_column, None))
    return found


def _difference(
    table: ServedTable, change: str, key: Sequence[object], column: str | None, old: object, new: object
) -> Difference:
    named = dict(zip(table.key, key, strict=True))
    date, ticker = cast("dt.date", named[table.date_column]), str(named[table.ticker_column])
    return Difference(table.name, change, date, ticker, column, old, new, named)
