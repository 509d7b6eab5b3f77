"""Replaying the topic: what its messages say of each row, upserted into a database that lacks it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from spark_app.config.kafka import load_kafka_access
from spark_app.errors import ServiceUnavailableError, SettingsError
from spark_app.pipeline.context import StageContext, StageOutput
from spark_app.schemas import SERVED_TABLES, ServedTable
from spark_app.storage.kafka.delivery import deliver
from spark_app.storage.kafka.messages import READ_MESSAGES, key_text, read_batches
from spark_app.storage.postgres.publish import Publication, RowSet
from spark_app.storage.postgres.row_rules import find_rejected
from spark_app.storage.postgres.run_log import ConsumerError, read_origin

STAGE = "replay_topic"
_REFUSED = StructType([StructField("key", StringType()), StructField("rule", StringType())])


def run(context: StageContext) -> StageOutput:
    """Read the topic from where the request begins, and let the newest message of each row decide.

    Raises: SettingsError: no broker is named. ServiceUnavailableError, UsageError: the topic cannot be read.
    """
    # With its own imports, for a run that uses no Kafka shall not pay for the client.
    from spark_app.storage.kafka.reader import find_span, hold, read_topic

    access = load_kafka_access(context.settings.kafka)
    if access is None:
        raise SettingsError("setting kafka.bootstrap_servers is empty: name the brokers")
    # What this database still owes is newer than all that the topic has of these rows.
    if (delivery := deliver(context.database, access)).owed != 0:
        raise ServiceUnavailableError(f"nothing is replayed before all is sent: {delivery.sentences[-1]}")
    span = find_span(access, context.request.topic_start)
    if not span:
        return StageOutput(message="no message to read", replayed_origin=context.settings.data_origin)
    messages = read_topic(context.spark, access, span).mapInArrow(read_batches, READ_MESSAGES)
    return _output(context, messages, hold(messages))


def _output(context: StageContext, messages: DataFrame, number: int) -> StageOutput:
    origin = context.request.origin or read_origin(context.database) or _newest_origin(messages)
    newest = _newest_of_each_row(messages, origin).persist()
    named = {row["table"] for row in newest.select("table").distinct().collect()}
    tables = [table for table in SERVED_TABLES if table.name in named]
    refused = _refused(context, newest, tables)
    unreadable = _unreadable(messages, origin).union(_described(newest, refused))
    rejected = unreadable.count()
    told = f"{number:,} messages of {origin} data in {context.settings.kafka.topic}"
    return StageOutput(
        message=f"{told}, {rejected:,} could not be used (logs_consumer_error)" if rejected else told,
        publications=tuple(_publication(newest, refused, table) for table in tables),
        errors=_Unreadable(unreadable, context.settings.kafka.topic),
        rows_rejected=rejected,
        replayed_origin=origin,
    )


def _newest_origin(messages: DataFrame) -> str:
    """What kind of data an empty database is to hold; any where no message says it."""
    newest = messages.where("error IS NULL").agg(F.max_by("origin", "message_id")).collect()[0][0]
    return str(newest or "real")


def _newest_of_each_row(messages: DataFrame, origin: str) -> DataFrame:
    """The newest message of each row: table, key, message_id, offset, partition, row (null: removed), raw_value."""
    newest = F.max(F.struct("message_id", "offset", "partition", "row", "raw_value")).alias("newest")
    ours = messages.where(F.col("error").isNull() & (F.col("origin") == origin))
    return ours.groupBy("table", "key").agg(newest).select("table", "key", "newest.*")


def _replayed(table: ServedTable) -> ServedTable:
    """The table as messages hold it: each column counts, for all of them are as they were."""
    return replace(table, uncompared=(), added=())


def _rows(newest: DataFrame, table: ServedTable) -> DataFrame:
    stored = newest.where((F.col("table") == table.name) & F.col("row").isNotNull())
    return stored.select(F.from_json("row", table.schema).alias("stored")).select("stored.*")


def _refused(context: StageContext, newest: DataFrame, tables: Sequence[ServedTable]) -> DataFrame:
    """Rows that their table would refuse: key, rule."""
    found: list[tuple[str, str]] = []
    for table in tables:
        name = f"{table.name}_rules_{context.request.run_id[-8:]}"
        refused = find_rejected(context.database, _rows(newest, table), _replayed(table), name)
        found += [(key_text(table, key), rule) for key, rule in refused]
    return F.broadcast(context.local_frame(found, _REFUSED))


def _publication(newest: DataFrame, refused: DataFrame, table: ServedTable) -> Publication:
    accepted = newest.join(refused, on="key", how="left_anti")
    removed = newest.where((F.col("table") == table.name) & F.col("row").isNull()).select("key").collect()
    keys = [json.loads(row["key"]) for row in removed]
    gone = RowSet(table.key, tuple(tuple(key[name] for name in table.key) for key in keys))
    return Publication(_replayed(table), _rows(accepted, table), gone)


def _unreadable(messages: DataFrame, origin: str) -> DataFrame:
    """Messages that say nothing of this kind of data: partition, offset, error, raw_value."""
    foreign = F.concat(F.lit("it is "), "origin", F.lit(f" data, and {origin} data is replayed"))
    strange = messages.where(F.col("error").isNotNull() | (F.col("origin") != origin))
    return strange.select("partition", "offset", F.coalesce("error", foreign).alias("error"), "raw_value")


def _described(newest: DataFrame, refused: DataFrame) -> DataFrame:
    """The messages of refused rows, with the same columns."""
    error = F.concat(F.lit("the row breaks the rule "), "rule").alias("error")
    return newest.join(refused, on="key", how="inner").select("partition", "offset", error, "raw_value")


@dataclass(frozen=True)
class _Unreadable:
    """What could not be used, one at a time: there may be more than the driver holds. May be gone through again."""

    messages: DataFrame
    topic: str

    def __iter__(self) -> Iterator[ConsumerError]:
        for row in self.messages.orderBy("partition", "offset").toLocalIterator():
            place = f"topic {self.topic}, partition {row['partition']}, offset {row['offset']}"
            yield ConsumerError(f"{place}: {row['error']}", row["raw_value"])
