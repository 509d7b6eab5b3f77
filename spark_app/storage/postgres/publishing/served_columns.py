"""Whether the served tables still have the columns that the migrations gave them."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    TimestampType,
)

from spark_app.errors import SparkAppError
from spark_app.schemas import ServedTable

_TYPES: dict[type[DataType], str] = {
    BooleanType: "boolean",
    DateType: "date",
    IntegerType: "integer",
    LongType: "bigint",
    StringType: "text",
    TimestampType: "timestamp with time zone",
}
_COLUMNS = """
SELECT relation.relname, attribute.attname, format_type(attribute.atttypid, attribute.atttypmod)
FROM pg_class AS relation JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid
WHERE relation.relnamespace = 'public'::regnamespace AND relation.relname = ANY (%s)
  AND attribute.attnum > 0 AND NOT attribute.attisdropped
"""


def check_columns(connection: psycopg.Connection, tables: Iterable[ServedTable]) -> None:
    """Compare the served tables with their schemas; a column that a user has added is no fault.

    Raises: SparkAppError: a column is missing, or has another type.
    """
    wanted = {table.name: table for table in tables}
    found: dict[str, dict[str, str]] = {}
    for name, column, type_name in connection.execute(_COLUMNS, (list(wanted),)).fetchall():
        found.setdefault(name, {})[column] = type_name
    for name, columns in found.items():  # A table that is missing is reported by PostgreSQL.
        for field in wanted[name].schema:
            _check_column(name, field.name, wanted=sql_type(field.dataType), found=columns.get(field.name))


def _check_column(table: str, column: str, *, wanted: str, found: str | None) -> None:
    if found is None:
        raise SparkAppError(
            f"{table} was changed by hand: it has no column {column}: "
            f"ALTER TABLE {table} ADD COLUMN {column} {wanted}, then run republish"
        )
    if found != wanted:
        raise SparkAppError(
            f"{table} was changed by hand: the type of {column} is {found}: ALTER TABLE {table} ALTER COLUMN {column} "
            f"TYPE {wanted} USING {column}::{wanted}, then run republish"
        )


def sql_type(data_type: DataType) -> str:
    """Return the type that PostgreSQL has for a column of a served table."""
    if isinstance(data_type, DecimalType):
        return f"numeric({data_type.precision},{data_type.scale})"
    return _TYPES[type(data_type)]
