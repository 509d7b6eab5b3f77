"""Messages about published rows: pending in the rows' own transaction, sent once the broker is available."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr
from pyspark.sql import SparkSession

from spark_app.config.kafka import KafkaAccess, KafkaSettings
from spark_app.errors import SparkAppError
from spark_app.schemas import ETF_OHLC, PORTFOLIO_EXCLUSION, SERVED_TABLES
from spark_app.storage.kafka.delivery import deliver
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.outbox import lock_head
from spark_app.storage.postgres.publishing.publication import Publication, RowSet
from spark_app.storage.postgres.publishing.publish import enqueue_rows, publish
from spark_app.storage.postgres.run_log import RunKey, start_run
from tests.kafka.topics import Record, broker_in_process, read_topic
from tests.storage.postgres.publishing.test_publish import DAY, OK, bars, exclusions, run_key, wait_for_merges

TOPIC = "stock-market-data"
OF_DAY = RowSet(("as_of_date",), ((DAY,),))
NOBODY = "127.0.0.1:1"


@pytest.fixture
def servers() -> Iterator[str]:
    with broker_in_process() as address:
        yield address


def send(database: Database, *publications: Publication, number: int = 1, topic: str | None = TOPIC) -> None:
    key = run_key(f"run-0000000{number}")
    start_run(database, key)
    publish(database, key, OK, origin="real", publications=publications, topic=topic)


def pending(database: Database) -> int:
    with database.connect() as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM logs_topic_outbox").fetchall()
    return int(count)


def access(servers: str, timeout_seconds: float = 30) -> KafkaAccess:
    return KafkaAccess(KafkaSettings(bootstrap_servers=servers, timeout_seconds=timeout_seconds))


def changes(records: list[Record]) -> list[tuple[str, str | None]]:
    return [(r.key["ticker"], r.value["run_id"] if r.value else None) for r in records]


def test_a_message_contains_the_whole_row_exactly(spark: SparkSession, database: Database, servers: str) -> None:
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10.1"})))
    assert deliver(database, access(servers)).sent == 1
    (record,) = read_topic(servers)
    assert record.key == {"table": "collected_daily_etf_ohlc", "ticker": "XLK", "trade_date": "2023-06-30"}
    told = {"table": "collected_daily_etf_ohlc", "stage": "stage1", "run_id": "run-00000001"}
    told |= {"as_of_date": "2023-06-30", "origin": "real"}
    assert record.headers == {**told, "schema_version": "1", "message_id": str(record.message_id)}
    price: dict[str, str | None] = {"open_price": "10.000000", "high_price": "12.000000", "low_price": "9.000000"}
    price |= {"close_price": "10.100000", "adj_close_price": "10.100000", "price_change_percent": None}
    row = {"ticker": "XLK", "trade_date": "2023-06-30", **price, "volume": 100, "dividend": "0.000000"}
    row |= {"split_ratio": "1.000000", "fetched_at": "2023-06-30T21:05:00.000000Z", "run_id": "run-00000001"}
    assert record.value == {**told, "schema_version": 1, "message_id": record.message_id, "row": row}


def test_new_changed_and_removed_rows_are_sent_once_and_unchanged_ones_never(
    spark: SparkSession, database: Database, servers: str
) -> None:
    send(database, Publication(PORTFOLIO_EXCLUSION, exclusions(spark, ["A", "B"]), OF_DAY))
    send(database, Publication(PORTFOLIO_EXCLUSION, exclusions(spark, ["B", "C"]), OF_DAY), number=2)
    deliver(database, access(servers))
    expected = [("A", "run-00000001"), ("B", "run-00000001"), ("C", "run-00000002"), ("A", None)]
    assert changes(read_topic(servers)) == expected
    assert deliver(database, access(servers)).sent == pending(database) == 0


def test_the_ids_of_a_rows_messages_grow_with_its_changes(
    spark: SparkSession, database: Database, servers: str
) -> None:
    for number, close in enumerate(("10", "10.5", "11"), 1):
        send(database, Publication(ETF_OHLC, bars(spark, {"XLK": close, "XLE": close})), number=number)
    deliver(database, access(servers))
    by_offset = sorted(read_topic(servers), key=lambda record: record.offset)
    of_one = [r.value["row"]["close_price"] for r in by_offset if r.value and r.key["ticker"] == "XLK"]
    assert of_one == ["10.000000", "10.500000", "11.000000"]


def test_no_message_is_pending_for_rows_that_were_not_committed(spark: SparkSession, database: Database) -> None:
    with pytest.raises(SparkAppError, match="violates check constraint"):
        send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10", "XLE": "-1"})))
    assert pending(database) == 0


def test_without_a_topic_no_message_is_pending(spark: SparkSession, database: Database) -> None:
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})), topic=None)
    assert pending(database) == 0


def test_a_topic_that_begins_later_is_filled_with_every_row(
    spark: SparkSession, database: Database, servers: str
) -> None:
    prices = Publication(ETF_OHLC, bars(spark, {"XLK": "10"}))
    send(database, prices, Publication(PORTFOLIO_EXCLUSION, exclusions(spark, ["A"])), topic=None)
    key = RunKey("run-00000002", "fill_topic", DAY, {})
    assert enqueue_rows(database, key, SERVED_TABLES, TOPIC) == 2
    deliver(database, access(servers))
    told = [
        (record.key["ticker"], record.headers["run_id"], (record.value or {})["row"]) for record in read_topic(servers)
    ]
    assert [(ticker, run_id, row["run_id"]) for ticker, run_id, row in told] == [
        ("XLK", "run-00000002", "run-00000001"),
        ("A", "run-00000002", "run-00000001"),
    ]


def test_a_broker_that_is_down_costs_a_moment_and_no_message(
    spark: SparkSession, database: Database, servers: str
) -> None:
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10", "XLE": "11"})))
    before = time.monotonic()
    delivery = deliver(database, access(NOBODY, timeout_seconds=1))
    assert time.monotonic() - before < 10
    (sentence,) = delivery.sentences
    assert sentence.startswith("2 messages are pending for Kafka, the next run sends them: ")
    assert "Connection refused" in sentence
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "12"})), number=2)
    assert deliver(database, access(servers)).sentences == ["3 messages sent to Kafka"]
    expected = [("XLE", "run-00000001"), ("XLK", "run-00000001"), ("XLK", "run-00000002")]
    assert changes(read_topic(servers)) == expected


def test_what_is_sent_twice_has_the_same_id(
    spark: SparkSession, database: Database, servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a run is killed between the broker's answer and the removal from the outbox."""
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})))
    with monkeypatch.context() as patch:
        patch.setattr(
            "spark_app.storage.kafka.delivery.forget", lambda *_: (_ for _ in ()).throw(SparkAppError("killed"))
        )
        assert "killed" in deliver(database, access(servers)).problem
    deliver(database, access(servers))
    first, second = read_topic(servers)
    assert first.value == second.value
    assert first.message_id == second.message_id


def test_two_runs_do_not_send_at_once(spark: SparkSession, database: Database, servers: str) -> None:
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})))
    with ThreadPoolExecutor() as pool:
        with database.connect() as connection, connection.transaction():
            lock_head(connection, timeout_seconds=30)
            late = deliver(database, access(servers, timeout_seconds=0.2))
            assert (late.sent, late.pending, late.problem) == (0, 1, "another run is sending them")
            waiting = pool.submit(deliver, database, access(servers))
            wait_for_merges(database, 1)
        assert waiting.result().sent == 1


def test_a_database_in_the_place_of_a_lost_one_counts_on(spark: SparkSession, database: Database) -> None:
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})))
    with database.connect() as connection:
        ((first,),) = connection.execute("SELECT id FROM logs_topic_outbox").fetchall()
    assert dt.datetime.now(dt.UTC) - dt.datetime.fromtimestamp(first / 1e6, dt.UTC) < dt.timedelta(hours=1)


def test_settings_that_the_client_refuses_cost_no_message(
    spark: SparkSession, database: Database, tmp_path: object
) -> None:
    send(database, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})))
    settings = KafkaSettings(bootstrap_servers=NOBODY, security_protocol="SASL_SSL", ssl_ca_file=__file__)
    delivery = deliver(database, KafkaAccess(settings, SecretStr("s3cret")))
    assert "Kafka's client refuses the settings" in delivery.problem
    assert "s3cret" not in delivery.problem
    assert pending(database) == 1


def test_a_run_key_of_another_kind_is_told_as_it_is(spark: SparkSession, database: Database, servers: str) -> None:
    key = RunKey("run-00000009", "republish", dt.date(2023, 7, 3), {})
    start_run(database, key)
    publish(
        database,
        key,
        OK,
        origin="synthetic",
        publications=[Publication(ETF_OHLC, bars(spark, {"XLK": "10"}))],
        topic="of-its-own",
    )
    deliver(database, access(servers))
    (record,) = read_topic(servers, "of-its-own")
    told = {name: record.headers[name] for name in ("stage", "as_of_date", "origin")}
    assert told == {"stage": "republish", "as_of_date": "2023-07-03", "origin": "synthetic"}
