"""Reading a range of the topic as a batch, with Spark's connector, whose jars only this module loads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_app.config.kafka import KafkaAccess, TopicStart
from spark_app.errors import ServiceUnavailableError, UsageError
from spark_app.spark.jars import KAFKA, added_jars
from spark_app.spark.java_errors import JAVA_ERRORS, reason_of
from spark_app.storage.kafka.sender import SILENT, client_options, refused_settings

_HEADERS = ("message_id", "schema_version", "origin")
_LOGIN_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}

Span = Mapping[int, tuple[int, int]]
"""Partition -> first offset to read, and end (exclusive)."""


def find_span(access: KafkaAccess, start: TopicStart) -> Span:
    """Find the offsets to read now from `start`; partitions without any are missing in the result.

    Raises: ServiceUnavailableError: no broker responds. UsageError: there is no such topic or partition.
        SettingsError: the client rejects the settings.
    """
    topic, timeout = access.settings.topic, access.settings.timeout_seconds
    problems: list[KafkaError] = []
    consumer = _open_consumer(access, problems)
    try:
        known = consumer.list_topics(topic, timeout=timeout).topics[topic]
        if known.error is not None:
            raise KafkaException(known.error)
        unknown = sorted(set(start.offsets or {}) - set(known.partitions))
        if unknown:
            raise UsageError(f"--from-offset: the topic {topic} has no partition {unknown[0]}")
        firsts = _firsts(consumer, topic, sorted(known.partitions), start, timeout)
        ends = {n: consumer.get_watermark_offsets(TopicPartition(topic, n), timeout) for n in firsts}
    except KafkaException as error:
        problem: KafkaError = error.args[0]
        if problem.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise UsageError(f"there is no topic {topic} at {access.settings.bootstrap_servers}") from error
        reason = _last_problem(consumer, problems) or str(problem.str())
        raise ServiceUnavailableError(
            f"cannot read from Kafka at {access.settings.bootstrap_servers}: {reason}"
        ) from error
    finally:
        consumer.close()
    spans = {n: (max(firsts[n], low), high) for n, (low, high) in ends.items()}
    return {n: (first, end) for n, (first, end) in spans.items() if first < end}


def _open_consumer(access: KafkaAccess, problems: list[KafkaError]) -> Consumer:
    options = {"group.id": "spark_app", "enable.auto.commit": False, "error_cb": problems.append}
    try:
        return Consumer({**client_options(access), **options}, logger=SILENT)
    except KafkaException as error:
        raise refused_settings(error) from error


def _last_problem(consumer: Consumer, problems: Sequence[KafkaError]) -> str:
    """The last error of a broker, more specific than a timeout; "" for none."""
    # The client reports errors when it is polled.
    consumer.poll(0)
    errors = [str(error.str()) for error in problems if error.code() != KafkaError._ALL_BROKERS_DOWN]
    return errors[-1] if errors else ""


def _firsts(consumer: Consumer, topic: str, numbers: list[int], start: TopicStart, timeout: float) -> dict[int, int]:
    if start.time is None:
        return {n: (start.offsets or {}).get(n, start.offset) for n in numbers}
    milliseconds = int(start.time.timestamp() * 1000)
    times = [TopicPartition(topic, n, milliseconds) for n in numbers]
    # -1: no message since that time.
    found = consumer.offsets_for_times(times, timeout=timeout)
    return {part.partition: part.offset if part.offset >= 0 else 2**62 for part in found}


def read_topic(spark: SparkSession, access: KafkaAccess, span: Span) -> DataFrame:
    """Read messages: key, value, partition, offset, and as columns the headers message_id, schema_version and origin.

    Raises: ServiceUnavailableError: the connector is not installed.
    """
    _add_connector(spark)
    topic = access.settings.topic
    options = {
        **connector_options(access),
        "assign": json.dumps({topic: sorted(span)}),
        "startingOffsets": json.dumps({topic: {str(n): first for n, (first, _) in span.items()}}),
        "endingOffsets": json.dumps({topic: {str(n): end for n, (_, end) in span.items()}}),
        "includeHeaders": "true",
    }
    messages = spark.read.format("kafka").options(**options).load()
    return messages.select("key", "value", "partition", "offset", *map(_header, _HEADERS))


def persist_messages(messages: DataFrame) -> int:
    """Read the messages now and persist them for the rest of the session; return their number.

    Raises: ServiceUnavailableError: reading failed.
    """
    try:
        return messages.persist().count()
    except JAVA_ERRORS as error:
        raise ServiceUnavailableError(f"reading from Kafka failed: {reason_of(error)}") from error


def connector_options(access: KafkaAccess) -> dict[str, str]:
    """The settings as options of Kafka's Java client, with the contents of files: workers may not have the files."""
    settings = access.settings
    given = {"bootstrap.servers": settings.bootstrap_servers, "security.protocol": settings.security_protocol}
    if access.password is not None:
        login = _LOGIN_MODULES[settings.sasl_mechanism]
        user, password = _quoted(settings.sasl_username), _quoted(access.password.get_secret_value())
        given["sasl.mechanism"] = settings.sasl_mechanism
        given["sasl.jaas.config"] = f"{login} required username={user} password={password};"
    if settings.ssl_ca_file:
        given["ssl.truststore.type"] = "PEM"
        given["ssl.truststore.certificates"] = Path(settings.ssl_ca_file).read_text()
    if settings.ssl_certificate_file:
        given["ssl.keystore.type"] = "PEM"
        given["ssl.keystore.certificate.chain"] = Path(settings.ssl_certificate_file).read_text()
        given["ssl.keystore.key"] = Path(settings.ssl_key_file).read_text()
    return {f"kafka.{name}": value for name, value in given.items()}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _header(name: str) -> Column:
    named = F.filter("headers", lambda header: header["key"] == name)
    return F.try_element_at(named, F.lit(1))["value"].alias(name)


def _add_connector(spark: SparkSession) -> None:
    jars = added_jars(KAFKA)
    if not jars:
        raise ServiceUnavailableError("Spark's connector for Kafka is missing: run `make setup`")
    for jar in jars:
        spark.sql(f"ADD JAR '{jar}'")
