"""Replaying the topic: the newest message of each row, upserted into a database that lacks it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from spark_app.config.kafka import load_kafka_access
from spark_app.errors import ServiceUnavailableError, SettingsError
from spark_app.pipeline.result import StageResult
from spark_app.pipeline.run import Run
from spark_app.schemas import SERVED_TABLES, ServedTable
from spark_app.storage.kafka.delivery import deliver
from spark_app.storage.kafka.messages import READ_MESSAGES, key_text, read_batches
from spark_app.storage.postgres.publishing.publication import Publication, RowSet
from spark_app.storage.postgres.publishing.row_rules import find_rejected
from spark_app.storage.postgres.run_log import ConsumerError, read_origin

_REJECTED = StructType([StructField("key", StringType()), StructField("rule", StringType())])


def run(run: Run) -> StageResult:
    """Read the topic from where the request begins, and serve the newest message of each row.

    No other run may be at work: what it changes after the topic was read is newer than the rows that are served here.

    Raises: SettingsError: no broker is named. ServiceUnavailableError, UsageError: the topic cannot be read.
    """
    # Imported here: a run without Kafka does not pay for the client.
    from spark_app.storage.kafka.reader import find_span, persist_messages, read_topic

    access = load_kafka_access(run.settings.kafka)
    if access is None:
        raise SettingsError("setting kafka.bootstrap_servers is empty: name the brokers")
    # The pending messages of this database are newer than those in the topic.
    if (delivery := deliver(run.database, access)).pending != 0:
        raise ServiceUnavailableError(f"cannot replay before all pending messages are sent: {delivery.sentences[-1]}")
    span = find_span(access, run.request.topic_start)
    if not span:
        return StageResult(message="no message to read", replayed_origin=run.settings.data_origin)
    messages = read_topic(run.spark, access, span).mapInArrow(read_batches, READ_MESSAGES)
    return _output(run, messages, persist_messages(messages))


def _output(run: Run, messages: DataFrame, number: int) -> StageResult:
    origin = run.request.origin or read_origin(run.database) or _newest_origin(messages)
    newest = _newest_of_each_row(messages, origin).persist()
    named = {row["table"] for row in newest.select("table").distinct().collect()}
    tables = [table for table in SERVED_TABLES if table.name in named]
    rejected = _rejected(run, newest, tables)
    unreadable = _unreadable(messages, origin).union(_described(newest, rejected))
    unusable = unreadable.count()
    read = f"{number:,} messages of {origin} data in {run.settings.kafka.topic}"
    return StageResult(
        message=f"{read}, {unusable:,} rejected (see logs_consumer_error)" if unusable else read,
        publications=tuple(_publication(newest, rejected, table) for table in tables),
        errors=_Unreadable(unreadable, run.settings.kafka.topic),
        rows_rejected=unusable,
        replayed_origin=origin,
    )


def _newest_origin(messages: DataFrame) -> str:
    """The kind of data that an empty database gets: that of the newest message."""
    newest = messages.where("error IS NULL").agg(F.max_by("origin", "message_id")).collect()[0][0]
    return str(newest or "real")


def _newest_of_each_row(messages: DataFrame, origin: str) -> DataFrame:
    """The newest message of each row: table, key, message_id, offset, partition, row (null: removed), raw_value."""
    newest = F.max(F.struct("message_id", "offset", "partition", "row", "raw_value")).alias("newest")
    ours = messages.where(F.col("error").isNull() & (F.col("origin") == origin))
    return ours.groupBy("table", "key").agg(newest).select("table", "key", "newest.*")


def _replayed(table: ServedTable) -> ServedTable:
    """The table as messages have it: every column is compared."""
    return replace(table, uncompared=(), added=())


def _rows(newest: DataFrame, table: ServedTable) -> DataFrame:
    stored = newest.where((F.col("table") == table.name) & F.col("row").isNotNull())
    return stored.select(F.from_json("row", table.schema).alias("stored")).select("stored.*")


def _rejected(run: Run, newest: DataFrame, tables: Sequence[ServedTable]) -> DataFrame:
    """Rows that break a rule of their table: key, rule."""
    found: list[tuple[str, str]] = []
    for table in tables:
        name = f"{table.name}_rules_{run.request.run_id[-8:]}"
        rejected = find_rejected(run.database, _rows(newest, table), _replayed(table), name)
        found += [(key_text(table, key), rule) for key, rule in rejected]
    return F.broadcast(run.frame(found, _REJECTED))


def _publication(newest: DataFrame, rejected: DataFrame, table: ServedTable) -> Publication:
    accepted = newest.join(rejected, on="key", how="left_anti")
    removed = newest.where((F.col("table") == table.name) & F.col("row").isNull()).select("key").collect()
    keys = [json.loads(row["key"]) for row in removed]
    gone = RowSet(table.key, tuple(tuple(key[name] for name in table.key) for key in keys))
    return Publication(_replayed(table), _rows(accepted, table), gone)


def _unreadable(messages: DataFrame, origin: str) -> DataFrame:
    """Messages that cannot be used: partition, offset, error, raw_value."""
    foreign = F.concat(F.lit("it is "), "origin", F.lit(f" data, and {origin} data is replayed"))
    unreadable = messages.where(F.col("error").isNotNull() | (F.col("origin") != origin))
    return unreadable.select("partition", "offset", F.coalesce("error", foreign).alias("error"), "raw_value")


def _described(newest: DataFrame, rejected: DataFrame) -> DataFrame:
    """The messages of rejected rows, with the same columns."""
    error = F.concat(F.lit("the row breaks the rule "), "rule").alias("error")
    return newest.join(rejected, on="key", how="inner").select("partition", "offset", error, "raw_value")


@dataclass(frozen=True)
class _Unreadable:
    """The messages that cannot be used, read one at a time: there may be more than fit into the driver's memory."""

    messages: DataFrame
    topic: str

    def __iter__(self) -> Iterator[ConsumerError]:
        for row in self.messages.orderBy("partition", "offset").toLocalIterator():
            place = f"topic {self.topic}, partition {row['partition']}, offset {row['offset']}"
            yield ConsumerError(f"{place}: {row['error']}", row["raw_value"])
