"""Which rows a served table would reject, by its own constraints in Postgres."""

from __future__ import annotations

import json

import psycopg
from psycopg import sql
from pyspark.sql import DataFrame

from spark_app.schemas import ServedTable
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.publishing import loading

_RULES = """
SELECT conname, pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conrelid = %(table)s::regclass AND contype = 'c'
UNION ALL
SELECT attname || '_not_null', format('%%I IS NOT NULL', attname) FROM pg_attribute
WHERE attrelid = %(table)s::regclass AND attnum > 0 AND attnotnull AND NOT attisdropped
ORDER BY 1
"""


def find_rejected(
    database: Database, rows: DataFrame, table: ServedTable, name: str
) -> list[tuple[dict[str, object], str]]:
    """Check the rows against a table's constraints; returns the key and the broken constraint of each rejected row.

    Args: name: of the loading table that is used, and dropped afterwards.

    Raises: ServiceUnavailableError. SparkAppError.
    """
    with translated_errors("checking rows"), database.connect() as connection:
        try:
            loading.create_table(connection, table, name)
            loading.load(database, rows, table, name)
            found = connection.execute(_rejected_statement(connection, table, name)).fetchall()
        finally:
            loading.drop_tables(connection, [name])
    return [(json.loads(key), rule) for key, rule in found]


def _rejected_statement(connection: psycopg.Connection, table: ServedTable, name: str) -> sql.Composed:
    # The expressions come from the database's own catalogue.
    rules = connection.execute(_RULES, {"table": table.name}).fetchall()
    broken = [(rule, sql.SQL(f"NOT ({test})")) for rule, test in rules]
    return sql.SQL(
        "SELECT (SELECT row_to_json(part) FROM (SELECT {key}) AS part)::text, CASE {cases} END"
        " FROM ({rows}) AS loaded WHERE {any}"
    ).format(
        key=sql.SQL(", ").join(map(sql.Identifier, table.key)),
        cases=sql.SQL(" ").join(sql.SQL("WHEN {} THEN {}").format(test, sql.Literal(rule)) for rule, test in broken),
        rows=loading.select_statement(table, name),
        any=sql.SQL(" OR ").join(test for _, test in broken),
    )
