"""The outbox: pending messages about changed rows, written in the transaction that changes the rows.

They stay until Kafka has acknowledged them. docs/TOPIC.md describes the messages. One merge at a time changes a table,
so the ids of a row's messages increase in the order of its changes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from pyspark.sql.types import DecimalType, StructField, TimestampType

from spark_app.schemas import MESSAGE_VERSION, ServedTable
from spark_app.storage.postgres.run_log import RunKey

_HEAD = """
WITH head AS (
    SELECT outbox.*, (SELECT origin FROM logs_data_origin) AS origin FROM logs_topic_outbox AS outbox
    ORDER BY id LIMIT %s
)
SELECT id, topic, schema_version, row_key::text AS key, table_name, stage, run_id, as_of_date, origin,
       CASE WHEN row_value IS NOT NULL THEN (
           SELECT row_to_json(message) FROM (SELECT schema_version, id AS message_id, table_name AS table, stage,
               run_id, as_of_date, origin, row_value AS row) AS message
       )::text END AS value
FROM head ORDER BY id
"""


@dataclass(frozen=True)
class PendingMessage:
    """One message that Kafka has not acknowledged; `value` is None if the row was removed."""

    id: int
    topic: str
    schema_version: int
    key: str
    table_name: str
    stage: str
    run_id: str
    as_of_date: dt.date
    origin: str
    value: str | None

    @property
    def headers(self) -> list[tuple[str, str | bytes | None]]:
        """The fields of `value` without the row; a message about a removed row has only these."""
        fields = {"schema_version": self.schema_version, "message_id": self.id, "table": self.table_name}
        fields |= {"stage": self.stage, "run_id": self.run_id, "as_of_date": self.as_of_date, "origin": self.origin}
        return [(name, str(value).encode()) for name, value in fields.items()]


@dataclass(frozen=True)
class Backlog:
    """The number of pending messages, and since when the oldest is pending."""

    messages: int
    since: dt.datetime | None


def pending_upserts(table: ServedTable, run: RunKey, topic: str | None) -> sql.Composable:
    """Return a further part of a WITH that adds a message for each row of `changed`; empty without a topic."""
    row = sql.SQL("(SELECT row_to_json(whole) FROM (SELECT {}) AS whole)").format(_values(table.schema.fields))
    return _pending(table, run, topic, source="changed", row=row)


def pending_removals(table: ServedTable, run: RunKey, topic: str | None) -> sql.Composable:
    """Return the same for each row of `removed`, which has the table's key."""
    return _pending(table, run, topic, source="removed", row=sql.SQL("NULL::json"))


def _pending(table: ServedTable, run: RunKey, topic: str | None, *, source: str, row: sql.Composable) -> sql.Composable:
    if topic is None:
        return sql.SQL("")
    return sql.SQL(
        ", pending AS (INSERT INTO logs_topic_outbox (topic, schema_version, table_name, row_key, row_value, stage,"
        "  run_id, as_of_date)"
        " SELECT {topic}, {version}, {table}, (SELECT row_to_json(part) FROM (SELECT {table} AS table, {key}) AS part),"
        "  {row}, {stage}, {run_id}, {as_of} FROM {source} ORDER BY {order})"
    ).format(
        topic=sql.Literal(topic),
        version=sql.Literal(MESSAGE_VERSION),
        table=sql.Literal(table.name),
        key=_values([table.schema[name] for name in table.key]),
        row=row,
        stage=sql.Literal(run.stage),
        run_id=sql.Literal(run.run_id),
        as_of=sql.Literal(run.as_of_date),
        source=sql.Identifier(source),
        order=sql.SQL(", ").join(map(sql.Identifier, table.key)),
    )


def _values(fields: Sequence[StructField]) -> sql.Composed:
    return sql.SQL(", ").join(map(_value, fields))


def _value(field: StructField) -> sql.Composable:
    """Return a column as in JSON: decimals as text, which no reader rounds, and times in UTC."""
    name = sql.Identifier(field.name)
    match field.dataType:
        case DecimalType():
            return sql.SQL("{0}::text AS {0}").format(name)
        case TimestampType():
            form = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
            return sql.SQL("to_char({0} AT TIME ZONE 'UTC', {1}) AS {0}").format(name, sql.Literal(form))
        case _:
            return name


def lock_head(connection: psycopg.Connection, *, timeout_seconds: float) -> None:
    """Take the lock for sending, until the transaction of `connection` ends.

    Raises: psycopg.errors.LockNotAvailable: another run has it for longer than the timeout.
    """
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (f"{timeout_seconds * 1000:.0f}ms",))
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('send outbox', 0))")


def read_head(connection: psycopg.Connection, *, limit: int) -> list[PendingMessage]:
    """Read the oldest pending messages, in order."""
    return connection.cursor(row_factory=class_row(PendingMessage)).execute(_HEAD.encode(), (limit,)).fetchall()


def forget(connection: psycopg.Connection, acknowledged: Sequence[int]) -> None:
    """Remove messages that Kafka has acknowledged."""
    connection.execute("DELETE FROM logs_topic_outbox WHERE id = ANY (%s)", (list(acknowledged),))


def read_backlog(connection: psycopg.Connection) -> Backlog:
    """Count the pending messages."""
    counted = "SELECT count(*) AS messages, min(owed_since) AS since FROM logs_topic_outbox"
    return connection.cursor(row_factory=class_row(Backlog)).execute(counted).fetchall()[0]
