"""A checksum of rows that Spark and Postgres compute alike, so that neither has to send its rows to the other.

Each row becomes text, its hash a number of 60 bits; the sum over rows does not depend on their order.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, DecimalType, StringType, StructField

_NULL, _BETWEEN = "\x1e", "\x1f"
_DIGITS = 15
"""Hexadecimal digits of the hash to use: 60 bits fit into a BIGINT on both sides."""


def checksum(fields: Sequence[StructField]) -> Column:
    """Return the sum of the hashes of these columns over the rows of a group, as DECIMAL(20,0)."""
    text = F.concat_ws(_BETWEEN, *[F.coalesce(_text(field), F.lit(_NULL)) for field in fields])
    digits = F.substring(F.sha2(text, 256), 1, _DIGITS)
    return F.sum(F.conv(digits, 16, 10).cast("decimal(20,0)"))


def checksum_sql(fields: Sequence[StructField]) -> sql.Composed:
    """Return the same as a Postgres expression."""
    texts = [sql.SQL("coalesce({}, {})").format(_text_sql(field), sql.Literal(_NULL)) for field in fields]
    row = sql.SQL("concat_ws({}, {})").format(sql.Literal(_BETWEEN), sql.SQL(", ").join(texts))
    # SHA-256 exists on both sides; Postgres's own hash functions do not exist in Spark.
    digits = sql.SQL("left(encode(sha256(convert_to({}, 'UTF8')), 'hex'), {})").format(row, sql.Literal(_DIGITS))
    return sql.SQL("sum(('x' || {})::bit({})::bigint)").format(digits, sql.Literal(4 * _DIGITS))


def _text(field: StructField) -> Column:
    column: Column = F.col(field.name)
    match field.dataType:
        case DecimalType(scale=scale):
            # As an integer in units of the last decimal: the two format fractions differently.
            return (column * F.lit(10**scale)).cast("bigint").cast("string")
        case DateType():
            return F.unix_date(column).cast("string")
        case StringType():
            return column
        case _:
            return column.cast("string")


def _text_sql(field: StructField) -> sql.Composed:
    column = sql.Identifier(field.name)
    match field.dataType:
        case DecimalType(scale=scale):
            return sql.SQL("({} * {})::bigint::text").format(column, sql.Literal(10**scale))
        case DateType():
            return sql.SQL("({} - DATE 'epoch')::text").format(column)
        case _:
            return sql.SQL("{}::text").format(column)
