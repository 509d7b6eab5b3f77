"""Loading tables: Spark loads rows into them before one transaction merges them into the served tables.

The JDBC driver and the server spend most of a load on formatting and parsing text, above all dates and times: these are
loaded as numbers and cast when read. Decimals are loaded as NUMERIC without a precision: casting each value to one
takes a fifth of the server's work.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql.types import DateType, DecimalType, StructField, TimestampType

from spark_app.errors import PassingFailureError, ServiceUnavailableError, SparkAppError
from spark_app.schemas import ServedTable
from spark_app.spark.java_errors import JAVA_ERRORS, reason_of
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.remedies import with_remedy
from spark_app.storage.postgres.retry import is_passing

SCHEMA = "loading"
# SQLSTATE classes: an invalid value, a broken constraint, a missing right.
_REJECTIONS = ("22", "23", "42")
# The driver makes one statement of a batch. With 1024 rows a load takes a tenth longer: long statements are parsed and
# planned several times before the driver prepares them.
_BATCH_ROWS = 128


def create_table(connection: psycopg.Connection, table: ServedTable, name: str) -> None:
    """Create the empty loading table of a run for a served table."""
    name_of_table = sql.Identifier(SCHEMA, name)
    connection.execute(
        sql.SQL("CREATE UNLOGGED TABLE {} AS SELECT {} FROM {} WITH NO DATA").format(
            name_of_table, sql.SQL(", ").join(map(_loading_column, table.computed_schema)), sql.Identifier(table.name)
        )
    )
    # For `sweep_orphans`: Postgres stores no creation time.
    created_at = dt.datetime.now(dt.UTC).isoformat()
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(name_of_table, sql.Literal(created_at)))


def load(database: Database, rows: DataFrame, table: ServedTable, name: str) -> None:
    """Write the rows to a loading table.

    Columns in: those of `table.computed_schema`.
    Raises: PassingFailureError: Postgres cannot be reached. ServiceUnavailableError: for example, its disk is full.
        SparkAppError: it rejects a row, or a number is too large for its column.
    """
    sent = rows.selectExpr(*[f"{to_loading(field)} AS {field.name}" for field in table.computed_schema])
    options = {**database.jdbc_options(), "dbtable": f'{SCHEMA}."{name}"', "batchsize": str(_BATCH_ROWS)}
    try:
        sent.write.format("jdbc").mode("append").options(**options).save()
    except JAVA_ERRORS as error:
        state, reason = _failure(error)
        raise _kind(state)(
            f"loading rows for {table.name} into PostgreSQL failed: {with_remedy(reason, state)}"
        ) from error


def select_statement(table: ServedTable, name: str) -> sql.Composed:
    """Return a SELECT of the loaded rows, with the columns and types of the served table."""
    columns = sql.SQL(", ").join(map(_from_loading, table.computed_schema))
    return sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(SCHEMA, name))


def drop_tables(connection: psycopg.Connection, names: Sequence[str]) -> None:
    """Drop loading tables."""
    # If the connection is lost they stay; the next run sweeps them.
    with contextlib.suppress(psycopg.OperationalError):
        for name in names:
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(SCHEMA, name)))


def _loading_column(field: StructField) -> sql.Composable:
    """Return a column of the loading table: as served, but dates are days and times microseconds since 1970."""
    name = sql.Identifier(field.name)
    match field.dataType:
        case DateType():
            return sql.SQL("NULL::integer AS {}").format(name)
        case TimestampType():
            return sql.SQL("NULL::bigint AS {}").format(name)
        case DecimalType():
            return sql.SQL("NULL::numeric AS {}").format(name)
        case _:
            return name


def to_loading(field: StructField) -> str:
    """Return a computed column as its loading table has it, as SQL of Spark; see `create_table`."""
    match field.dataType:
        case DateType():
            return f"unix_date({field.name})"
        case TimestampType():
            return f"unix_micros({field.name})"
        case DecimalType():
            # Rounded to the served scale, so that an unchanged value compares equal.
            return f"CAST({field.name} AS {field.dataType.simpleString()})"
        case _:
            return field.name


def _from_loading(field: StructField) -> sql.Composable:
    name = sql.Identifier(field.name)
    match field.dataType:
        case DateType():
            return sql.SQL("DATE 'epoch' + {0} AS {0}").format(name)
        case TimestampType():
            # Postgres multiplies intervals in double precision: exact up to the year 2255.
            return sql.SQL("TIMESTAMPTZ 'epoch' + {0} * INTERVAL '1 microsecond' AS {0}").format(name)
        case _:
            return name


def _failure(error: PySparkException | Py4JJavaError) -> tuple[str, str]:
    """Return the SQLSTATE ("" if none) and the message of the driver, or of Spark about a number.

    Spark wraps them in exceptions that repeat the whole row or hide the cause.
    """
    java: Any = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    while java is not None:
        match java.getClass().getName():
            case "org.postgresql.util.PSQLException":
                return java.getSQLState() or "", java.getMessage().removeprefix("ERROR: ").splitlines()[0]
            case "org.apache.spark.SparkArithmeticException":
                # "[CONDITION] sentence. Advice to switch the check off".
                return java.getSqlState(), java.getMessage().partition("]")[2].partition(". ")[0].strip()
        java = java.getCause()
    return "", reason_of(error)


def _kind(state: str) -> type[SparkAppError]:
    if state[:2] in _REJECTIONS:
        return SparkAppError
    return PassingFailureError if is_passing(state, "") else ServiceUnavailableError
