"""A consumer of the tests' own, and a broker inside this process for tests that need no real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient


@dataclass(frozen=True)
class Record:
    """One message as a consumer gets it; `value` None is a tombstone."""

    key: dict[str, Any]
    value: dict[str, Any] | None
    headers: dict[str, str]
    partition: int
    offset: int

    @property
    def message_id(self) -> int:
        return int(self.headers["message_id"])


@contextmanager
def broker_in_process() -> Iterator[str]:
    """Yield the address of librdkafka's own mock of a broker, which speaks the real protocol on loopback."""
    cluster = AdminClient({"test.mock.num.brokers": 1, "bootstrap.servers": "none:1", "log_level": 0})
    (broker,) = cluster.list_topics(timeout=30).brokers.values()
    yield f"{broker.host}:{broker.port}"
    del cluster


def read_topic(servers: str, topic: str = "stock-market-data", **options: Any) -> list[Record]:
    """Read a topic from its beginning to its present end, in the order of the message ids."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "tests", "log_level": 0, **options})
    try:
        known = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        ends = {number: consumer.get_watermark_offsets(TopicPartition(topic, number), 30)[1] for number in known}
        consumer.assign([TopicPartition(topic, number, 0) for number in known])
        messages = [consumer.poll(30) for _ in range(sum(ends.values()))]
    finally:
        consumer.close()
    return sorted(map(_record, messages), key=lambda record: record.message_id)


def _record(message: Any) -> Record:
    assert message is not None and message.error() is None
    value = message.value()
    return Record(
        key=json.loads(message.key()),
        value=None if value is None else json.loads(value),
        headers={name: content.decode() for name, content in message.headers()},
        partition=message.partition(),
        offset=message.offset(),
    )
