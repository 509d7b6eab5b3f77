"""The tables that Spark loads rows into, before one transaction merges them into what is served.

The driver and the server spend most of a load on writing and reading text, dates and times above all: so these
travel as numbers, and get their type when they are read. Decimals have their scale from Spark: a loading column with
a precision of its own would have the server prepare a conversion for each value, a fifth of its work.
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
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, DecimalType, StructField, TimestampType

from spark_app.errors import PassingFailureError, ServiceUnavailableError, SparkAppError
from spark_app.schemas import ServedTable
from spark_app.spark.java_errors import JAVA_ERRORS, reason_of
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.retry import is_passing

SCHEMA = "loading"
# SQLSTATE classes: a value or a row that breaks a rule, a missing right.
_REFUSALS = ("22", "23", "42")
# The driver makes one statement of a batch. Statements of 1024 rows cost the driver and the server a tenth more: they
# are read and planned several times before they count as prepared.
_BATCH_ROWS = 128


def create_table(connection: psycopg.Connection, table: ServedTable, name: str) -> None:
    """Create the empty loading table of a run for a served table."""
    name_of_table = sql.Identifier(SCHEMA, name)
    connection.execute(
        sql.SQL("CREATE UNLOGGED TABLE {} AS SELECT {} FROM {} WITH NO DATA").format(
            name_of_table, sql.SQL(", ").join(map(_loading_column, table.computed_schema)), sql.Identifier(table.name)
        )
    )
    # The comment carries the time of birth: Postgres keeps none of its own.
    created_at = dt.datetime.now(dt.UTC).isoformat()
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(name_of_table, sql.Literal(created_at)))


def load(database: Database, rows: DataFrame, table: ServedTable, name: str) -> None:
    """Send the rows to a loading table.

    Raises: PassingFailureError: Postgres went away. ServiceUnavailableError: its disk is full, for example.
        SparkAppError: it refuses a row, or a number is too large for its column.
    """
    sent = rows.select(*map(_to_loading, table.computed_schema))
    options = {**database.jdbc_options(), "dbtable": f'{SCHEMA}."{name}"', "batchsize": str(_BATCH_ROWS)}
    try:
        sent.write.format("jdbc").mode("append").options(**options).save()
    except JAVA_ERRORS as error:
        state, reason = _failure(error)
        raise _kind(state)(f"loading rows for {table.name} into PostgreSQL failed: {reason}") from error


def select_statement(table: ServedTable, name: str) -> sql.Composed:
    """A SELECT of the loaded rows, with the columns and types of the served table."""
    columns = sql.SQL(", ").join(map(_from_loading, table.computed_schema))
    return sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(SCHEMA, name))


def drop_tables(connection: psycopg.Connection, names: Sequence[str]) -> None:
    """Drop loading tables."""
    # Where the connection is lost they stay behind; the next run's sweep takes them.
    with contextlib.suppress(psycopg.OperationalError):
        for name in names:
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(SCHEMA, name)))


def _loading_column(field: StructField) -> sql.Composable:
    """A column of the loading table: as served, but dates and times are numbers since 1970, decimals of any size."""
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


def _to_loading(field: StructField) -> Column:
    match field.dataType:
        case DateType():
            return F.unix_date(field.name).alias(field.name)
        case TimestampType():
            return F.unix_micros(field.name).alias(field.name)
        case DecimalType():
            # Rounded here where it came with more digits, so that it compares equal to what is served.
            return F.col(field.name).cast(field.dataType).alias(field.name)
        case _:
            return F.col(field.name)


def _from_loading(field: StructField) -> sql.Composable:
    name = sql.Identifier(field.name)
    match field.dataType:
        case DateType():
            return sql.SQL("DATE 'epoch' + {0} AS {0}").format(name)
        case TimestampType():
            # The server multiplies by a double: exact up to the year 2255.
            return sql.SQL("TIMESTAMPTZ 'epoch' + {0} * INTERVAL '1 microsecond' AS {0}").format(name)
        case _:
            return name


def _failure(error: PySparkException | Py4JJavaError) -> tuple[str, str]:
    """SQLSTATE, "" where there is none, and the sentence of the driver, or of Spark about a number.

    Spark wraps it in exceptions that repeat the whole row, or hide why.
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
    if state[:2] in _REFUSALS:
        return SparkAppError
    return PassingFailureError if is_passing(state, "") else ServiceUnavailableError
