"""Replaying the topic into databases that are empty, half filled, or ahead of it."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import Producer
from pyspark.sql import DataFrame, SparkSession

from spark_app.config.kafka import KafkaAccess, KafkaSettings, TopicStart
from spark_app.config.settings import Settings
from spark_app.errors import AlreadyRunningError, ServiceUnavailableError, UsageError
from spark_app.pipeline.execution import run_stage
from spark_app.pipeline.request import Request
from spark_app.pipeline.result import StageReport
from spark_app.pipeline.run import open_run
from spark_app.schemas import ETF_OHLC, PORTFOLIO_EXCLUSION
from spark_app.storage.kafka import reader
from spark_app.storage.kafka.delivery import deliver
from spark_app.storage.kafka.reader import find_span
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.locks import stage_lock
from spark_app.storage.postgres.publishing.publication import Publication, RowSet
from spark_app.storage.postgres.publishing.publish import publish
from spark_app.storage.postgres.run_log import start_run
from tests.declared import DECLARED
from tests.kafka.broker import KafkaBroker
from tests.kafka.topics import read_topic
from tests.storage.postgres.publishing.test_publish import DAY, OK, bars, exclusions, run_key

OF_DAY = RowSet(("as_of_date",), ((DAY,),))
TABLES = (ETF_OHLC.name, PORTFOLIO_EXCLUSION.name)


@dataclass(frozen=True)
class Feed:
    """One topic, the database whose runs announce their rows there, and what a replay of it does."""

    spark: SparkSession
    servers: str
    topic: str
    database: Database

    @property
    def settings(self) -> Settings:
        return Settings(kafka=KafkaSettings(bootstrap_servers=self.servers, topic=self.topic, timeout_seconds=60))

    def history(self, first: int, last: int) -> None:
        """Runs of which each changes a price, and drops a row or adds it again."""
        for number in range(first, last + 1):
            self.commit(
                number,
                Publication(ETF_OHLC, bars(self.spark, {"XLK": f"10.{number}", "XLE": "11"})),
                Publication(PORTFOLIO_EXCLUSION, exclusions(self.spark, ["A", "B"] if number % 2 else ["B"]), OF_DAY),
            )
            deliver(self.database, KafkaAccess(self.settings.kafka))

    def commit(self, number: int, *publications: Publication) -> None:
        key = run_key(f"run-0000000{number}")
        start_run(self.database, key)
        publish(self.database, key, OK, origin="synthetic", publications=publications, topic=self.topic)

    def produce(self, *messages: tuple[bytes | None, bytes | None]) -> None:
        """Send messages of somebody else's."""
        producer = Producer({"bootstrap.servers": self.servers, "log_level": 0})
        for key, value in messages:
            producer.produce(self.topic, key=key, value=value, partition=0)
        assert producer.flush(60) == 0

    def replay(self, target: Database, **start: Any) -> StageReport:
        report = self.try_to_replay(target, **start)
        assert report.exit_code == 0, report.message
        return report

    def try_to_replay(self, target: Database, **start: Any) -> StageReport:
        request = Request(
            f"replay-{secrets.token_hex(4)}", DAY, dt.datetime.now(dt.UTC), topic_start=TopicStart(**start)
        )
        return run_stage(open_run(request, self.settings, self.spark, target), DECLARED["replay_topic"])


@pytest.fixture
def feed(spark: SparkSession, broker: KafkaBroker, topic: str, database: Database) -> Feed:
    return Feed(spark, broker.servers, topic, database)


def rows(database: Database, table: str) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2".encode()).fetchall()


def errors(database: Database) -> list[tuple[str, str]]:
    with database.connect() as connection:
        return connection.execute("SELECT error_msg, raw_value FROM logs_consumer_error ORDER BY id").fetchall()


def contents(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    return {table: rows(database, table) for table in TABLES}


def test_an_empty_database_becomes_like_the_original(feed: Feed, other: Database) -> None:
    feed.history(1, 2)
    report = feed.replay(other)
    assert contents(other) == contents(feed.database)
    assert rows(other, "logs_data_origin") == [(True, "synthetic")]
    assert rows(other, "logs_topic_outbox") == []
    assert (report.rows_inserted, report.rows_rejected) == (3, 0)
    again = feed.replay(other)
    assert (again.rows_inserted, again.rows_updated, again.rows_removed) == (0, 0, 0)


def test_a_half_filled_database_catches_up_from_a_time(feed: Feed, other: Database) -> None:
    feed.history(1, 1)
    feed.replay(other)
    between = dt.datetime.now(dt.UTC)
    feed.history(2, 2)
    report = feed.replay(other, time=between)
    assert contents(other) == contents(feed.database)
    assert (report.rows_inserted, report.rows_updated, report.rows_removed) == (0, 1, 1)
    assert feed.replay(other, time=dt.datetime.now(dt.UTC)).message == "no message to read"


def test_a_half_filled_database_catches_up_from_offsets(feed: Feed, other: Database) -> None:
    feed.history(1, 1)
    seen = read_topic(feed.servers, feed.topic)
    ends = {record.partition: record.offset + 1 for record in seen}
    feed.history(2, 2)
    report = feed.replay(other, offsets=ends)
    assert report.message.startswith("2 messages of synthetic data")
    feed.replay(other, offset=0)
    assert contents(other) == contents(feed.database)


def test_what_the_database_still_owes_is_newer_than_the_topic(feed: Feed) -> None:
    feed.history(1, 1)
    feed.commit(2, Publication(ETF_OHLC, bars(feed.spark, {"XLK": "20"})))
    before = contents(feed.database)
    feed.replay(feed.database)
    assert contents(feed.database) == before


def test_beside_a_run_it_ends_with_73(feed: Feed) -> None:
    feed.history(1, 1)
    with stage_lock(feed.database, run_key("run-00000002")):
        report = feed.try_to_replay(feed.database)
    assert (report.exit_code, report.message) == (73, "another job is already running: wait for it to end")


def test_no_run_begins_while_the_topic_is_replayed(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    feed.history(1, 1)
    persist, refused = reader.persist_messages, []

    def persist_beside_a_run(messages: DataFrame) -> int:
        number = persist(messages)
        try:
            with stage_lock(feed.database, run_key("run-00000002")):
                feed.commit(2, Publication(ETF_OHLC, bars(feed.spark, {"XLK": "20"})))
        except AlreadyRunningError as error:
            refused.append(str(error))
        return number

    monkeypatch.setattr(reader, "persist_messages", persist_beside_a_run)
    before = contents(feed.database)
    feed.replay(feed.database)
    assert refused == ["apply_retention, db restore or replay_topic is already running: wait for it to end"]
    assert contents(feed.database) == before


def test_where_there_is_nothing_to_read_from_it_is_said(broker: KafkaBroker, topic: str) -> None:
    there = KafkaSettings(bootstrap_servers=broker.servers, topic=topic, timeout_seconds=60)
    with pytest.raises(UsageError, match=f"there is no topic {topic} at 127.0.0.1"):
        find_span(KafkaAccess(there), TopicStart())
    nobody = KafkaSettings(bootstrap_servers="127.0.0.1:1", timeout_seconds=1)
    with pytest.raises(ServiceUnavailableError, match="cannot read from Kafka at 127.0.0.1:1: "):
        find_span(KafkaAccess(nobody), TopicStart())


def test_messages_that_cannot_be_used_are_named_and_the_rest_goes_on(feed: Feed, other: Database) -> None:
    feed.history(1, 1)
    good = next(r for r in read_topic(feed.servers, feed.topic) if r.key["table"] == ETF_OHLC.name and r.value)
    assert good.value is not None
    negative = {**good.value, "message_id": good.message_id + 100, "row": {**good.value["row"], "close_price": "-1"}}
    negative["row"]["ticker"] = "XLV"
    foreign = {**good.value, "origin": "real"}
    feed.produce(
        (b"k", b"no json \xff"),
        (b"k", json.dumps(negative).encode()),
        (b"k", json.dumps(foreign).encode()),
        (None, None),
    )
    report = feed.replay(other)
    assert contents(other) == contents(feed.database)
    assert report.rows_rejected == 4
    assert report.message.endswith("4 rejected (see logs_consumer_error)")
    told = errors(other)
    places = [message.partition(": ")[0] for message, _ in told]
    assert all(place.startswith(f"topic {feed.topic}, partition 0, offset ") for place in places)
    reasons = [message.partition(": ")[2] for message, _ in told]
    assert reasons[0].startswith("the value is not JSON")
    assert reasons[1] == "the row breaks the rule collected_daily_etf_ohlc_close_price_check"
    assert reasons[2] == "it is real data, and synthetic data is replayed"
    assert reasons[3].startswith("the key of the removed row is not JSON")
    assert [raw for _, raw in told] == ["no json \\xff", json.dumps(negative), json.dumps(foreign), ""]
