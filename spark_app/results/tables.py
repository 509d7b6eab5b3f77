"""Served tables as DataFrames of pandas or Spark, for notebooks; the database is only read."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING

from psycopg import sql
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

from spark_app.config.settings import load_database_settings
from spark_app.errors import ServiceUnavailableError, UsageError
from spark_app.results.served import no_results
from spark_app.schemas import SERVED_TABLES, ServedTable
from spark_app.spark.java_errors import JAVA_ERRORS, reason_of
from spark_app.storage.postgres.database import Database, open_database, translated_errors
from spark_app.storage.postgres.migrate import has_tables

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame, SparkSession

_READ_ONLY = "SET default_transaction_read_only = on"
_PANDAS_TYPES: dict[type[DataType], str] = {
    BooleanType: "boolean",
    DateType: "datetime64[ns]",
    DecimalType: "float64",
    IntegerType: "Int64",
    LongType: "Int64",
    StringType: "object",
    TimestampType: "datetime64[ns, UTC]",
}


def read_table(name: str, *, as_of: dt.date | str | None = None) -> pd.DataFrame:
    """Read a served table of the database in use into pandas, in the order of its key.

    Columns out: those of the table. Decimals become float64, whole numbers Int64, flags boolean, dates datetime64.

    Args:
        as_of: only the rows of this date: as_of_date, of prices trade_date. None for all dates.
    Raises: UsageError: no such table, or an invalid date. DataIncompleteError: no run has made the tables yet.
    ServiceUnavailableError: Postgres does not answer.
    """
    import pandas as pd

    table = _table(name)
    with (
        _opened() as database,
        translated_errors(f"reading {name}"),
        database.connect() as connection,
    ):
        connection.execute(_READ_ONLY)
        rows = connection.execute(_query(table, as_of)).fetchall()
    types = {field.name: _PANDAS_TYPES[type(field.dataType)] for field in table.schema}
    return pd.DataFrame(rows, columns=table.schema.fieldNames()).astype(types)


def read_table_with_spark(spark: SparkSession, name: str, *, as_of: dt.date | str | None = None) -> DataFrame:
    """Read a served table of the database in use with Spark; arguments and errors as of `read_table`.

    The rows are read at once and kept by Spark, so the database need not run afterwards.
    Columns out: those of the table, with the types of `schemas.py`.
    """
    table = _table(name)
    with _opened() as database:
        options = {
            **database.jdbc_options(),
            "query": _query(table, as_of).as_string(),
            "sessionInitStatement": _READ_ONLY,
        }
        try:
            return spark.read.format("jdbc").options(**options).load().localCheckpoint()
        except JAVA_ERRORS as error:
            raise ServiceUnavailableError(f"reading {name} from PostgreSQL failed: {reason_of(error)}") from error


@contextlib.contextmanager
def _opened() -> Iterator[Database]:
    with open_database(load_database_settings()) as database:
        if not has_tables(database):
            raise no_results()
        yield database


def _table(name: str) -> ServedTable:
    known = {table.name: table for table in SERVED_TABLES}
    if name not in known:
        raise UsageError(f"unknown served table {name!r}: choose from {', '.join(known)}")
    return known[name]


def _query(table: ServedTable, as_of: dt.date | str | None) -> sql.Composed:
    columns, key = (sql.SQL(", ").join(map(sql.Identifier, names)) for names in (table.schema.fieldNames(), table.key))
    rows = sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(table.name))
    if as_of is not None:
        rows += sql.SQL(" WHERE {} = {}").format(sql.Identifier(table.date_column), sql.Literal(_date(as_of)))
    return rows + sql.SQL(" ORDER BY {}").format(key)


def _date(as_of: dt.date | str) -> dt.date:
    if isinstance(as_of, dt.date):
        return as_of
    try:
        return dt.date.fromisoformat(as_of)
    except ValueError:
        raise UsageError(f"invalid as_of {as_of!r}: expected YYYY-MM-DD") from None
