"""Sending to a broker that creates no topics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from spark_app.config.kafka import KafkaAccess, KafkaSettings
from spark_app.storage.kafka.delivery import Delivery, deliver
from spark_app.storage.postgres.database import Database
from tests.kafka.broker import KafkaBroker, running_broker


@pytest.fixture
def strict_broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    with running_broker(tmp_path, creates_topics=False) as broker:
        yield broker


def test_a_topic_that_is_missing_is_named_and_gets_the_messages_once_it_is_there(
    strict_broker: KafkaBroker, database: Database, topic: str
) -> None:
    with database.connect() as connection:
        connection.execute("INSERT INTO logs_data_origin (origin) VALUES ('synthetic')")
        connection.execute(
            "INSERT INTO logs_topic_outbox (topic, schema_version, table_name, row_key, stage, run_id, as_of_date)"
            " VALUES (%s, 1, 'collected_daily_etf_ohlc', '{}', 'stage1', 'run', '2024-05-10')",
            (topic,),
        )
    servers = strict_broker.servers
    missing = f"topic {topic} does not exist at {servers} and is not created automatically: create it"
    assert deliver(database, access(servers, topic, seconds=2)) == Delivery(sent=0, pending=1, problem=missing)
    administrator = AdminClient({"bootstrap.servers": servers})
    (created,) = administrator.create_topics([NewTopic(topic, 1, 1)]).values()
    created.result(timeout=30)
    assert deliver(database, access(servers, topic, seconds=30)) == Delivery(sent=1)


def access(servers: str, topic: str, *, seconds: float) -> KafkaAccess:
    return KafkaAccess(KafkaSettings(bootstrap_servers=servers, topic=topic, timeout_seconds=seconds))
