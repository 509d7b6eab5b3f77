"""The pipeline with a real broker: what a consumer sees, a broker that goes away in mid-stage, and a replay."""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import DateType, DecimalType, TimestampType

from spark_app.pipeline import execution as run_module
from spark_app.pipeline.execution import run_stage
from spark_app.pipeline.messages import send_pending
from spark_app.pipeline.result import StageReport
from spark_app.schemas import SERVED_TABLES
from spark_app.storage.postgres.database import Database
from tests.declared import DECLARED, STAGES
from tests.emulator import Bar, Market
from tests.integration.expected import sessions_ending
from tests.integration.fetch_market import ALL_STOCKS, AS_OF, LAST_DAY, MORNING_AFTER
from tests.integration.world import KEYS, World, differences
from tests.kafka.broker import KafkaBroker
from tests.kafka.topics import Record, read_topic
from tests.operations.installation import installation, trending_market
from tests.outside import without_settings_of_a_user

Tables = dict[str, dict[tuple[Any, ...], dict[str, Any]]]


@pytest.fixture(scope="module", autouse=True)
def no_settings_from_outside() -> Iterator[None]:
    """Whoever runs the tests may have settings and a database of their own."""
    with without_settings_of_a_user("KAFKA_"):
        yield


@dataclass(frozen=True)
class Announced:
    """An installation that announces its rows, in a topic of its own."""

    world: World
    spark: SparkSession
    broker: KafkaBroker
    topic: str

    def settings(self, *, positions: int = 2) -> dict[str, dict[str, object]]:
        kafka = {"bootstrap_servers": self.broker.servers, "topic": self.topic, "timeout_seconds": 60}
        return {"kafka": kafka, "portfolio": {"top_n_per_sector": positions}}

    def run(self, *stages: str, positions: int = 2) -> dict[str, StageReport]:
        options = {"now": MORNING_AFTER, "settings": self.settings(positions=positions)}
        return self.world.run(self.spark, AS_OF, stages=stages or STAGES, **options)

    def records(self) -> list[Record]:
        return read_topic(self.broker.servers, self.topic)


def rising_market() -> Market:
    """All sectors trend, and so do all stocks."""
    days, market = sessions_ending(LAST_DAY, 45), trending_market()
    risen = {
        ticker: [
            Bar(day, close, close + 1, close - 1, close, close, 1000)
            for day, close in zip(days, closes(k), strict=True)
        ]
        for k, ticker in enumerate(ALL_STOCKS)
    }
    return Market(bars={**market.bars, **risen}, holdings=market.holdings, quotes=market.quotes)


def closes(k: int) -> list[float]:
    return [20 + k / 4 + n / 8 for n in range(45)]


@pytest.fixture(scope="module")
def announced(open_folder: Path, spark: SparkSession, broker: KafkaBroker) -> Iterator[Announced]:
    """An installation after one good run of all stages."""
    with installation(open_folder, rising_market()) as world:
        opened = Announced(world, spark, broker, f"rows-{secrets.token_hex(4)}")
        reports = opened.run()
        assert [report.exit_code for report in reports.values()] == [0] * 5, reports
        assert {report.messages_owed for report in reports.values()} == {0}
        yield opened


def said(records: list[Record]) -> Tables:
    """What a consumer holds that keeps the last message of each key."""
    tables: Tables = {table.name: {} for table in SERVED_TABLES}
    for record in records:
        table = next(table for table in SERVED_TABLES if table.name == record.key["table"])
        key = tuple(typed(table.schema[name].dataType, record.key[name]) for name in table.key)
        if record.value is None:
            del tables[table.name][key]
        else:
            row = record.value["row"]
            values = {field.name: typed(field.dataType, row[field.name]) for field in table.schema}
            tables[table.name][key] = {name: value for name, value in values.items() if name not in table.key}
    return tables


def typed(kind: object, value: Any) -> Any:
    match kind:
        case DecimalType() if value is not None:
            assert isinstance(value, str)
            return Decimal(value)
        case DateType():
            return dt.date.fromisoformat(value)
        case TimestampType():
            return dt.datetime.fromisoformat(value)
        case _:
            return value


def changes(report: StageReport) -> int:
    return report.rows_inserted + report.rows_updated + report.rows_removed


def assert_alike(actual: Tables, expected: Tables) -> None:
    assert {name: differences(actual[name], expected[name]) for name in KEYS} == {name: [] for name in KEYS}


def test_a_consumer_sees_each_committed_row_once_and_exactly(announced: Announced) -> None:
    records, tables = announced.records(), announced.world.tables()
    assert all(tables.values())
    assert len(records) == sum(map(len, tables.values()))
    assert_alike(said(records), tables)
    assert {r.headers["as_of_date"] for r in records} == {"2024-05-10"}
    assert {r.headers["stage"] for r in records} == set(STAGES)


def test_a_run_that_changes_nothing_sends_nothing(announced: Announced) -> None:
    before = len(announced.records())
    reports = announced.run()
    assert [report.messages_sent for report in reports.values()] == [0] * 5
    assert len(announced.records()) == before


def test_rows_that_a_rerun_removes_are_tombstones(announced: Announced) -> None:
    before = len(announced.records())
    (report,) = announced.run("stage5_portfolio_allocation", positions=1).values()
    assert report.rows_removed > 0
    records = announced.records()
    gone = [record for record in records[before:] if record.value is None]
    assert len(gone) == report.rows_removed
    assert {record.headers["run_id"] for record in gone} == {report.run_id}
    assert_alike(said(records), announced.world.tables())
    announced.run("stage5_portfolio_allocation")


def test_a_broker_that_dies_in_mid_stage_costs_seconds_and_no_message(
    announced: Announced, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before, committed = len(announced.records()), run_module.publish

    def publish_and_die(*arguments: Any, **options: Any) -> Any:
        counts = committed(*arguments, **options)
        announced.broker.stop()
        return counts

    caplog.set_level("INFO", logger="spark_app")
    settings = announced.settings(positions=1)
    settings["kafka"]["timeout_seconds"] = 2
    run = announced.world.open(announced.spark, AS_OF, now=MORNING_AFTER, settings=settings)
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "publish", publish_and_die)
        report = run_stage(run, DECLARED["stage5_portfolio_allocation"])
    changed = changes(report)
    assert (report.exit_code, report.messages_sent, report.messages_owed) == (0, 0, changed)
    (sentence,) = [text for text in caplog.messages if "pending" in text]
    assert sentence.startswith(f"{changed} messages are pending for Kafka, the next run sends them: ")
    began = time.monotonic()
    send_pending(announced.world.database, run.settings)
    assert time.monotonic() - began < 20

    announced.broker.start()
    (report,) = announced.run("stage3_trending_sectors").values()
    assert (report.rows_updated, report.messages_sent, report.messages_owed) == (0, changed, 0)
    records = announced.records()
    assert len(records) == before + changed
    assert_alike(said(records), announced.world.tables())
    announced.run("stage5_portfolio_allocation")


def test_a_broker_that_hangs_costs_seconds_and_what_came_twice_is_recognised(announced: Announced) -> None:
    settings = announced.settings(positions=1)
    settings["kafka"]["timeout_seconds"] = 2
    options: dict[str, Any] = {"now": MORNING_AFTER, "settings": settings, "stages": ["stage5_portfolio_allocation"]}
    announced.broker.pause()
    try:
        (report,) = announced.world.run(announced.spark, AS_OF, **options).values()
    finally:
        announced.broker.resume()
    assert (report.exit_code, report.messages_owed) == (0, changes(report))
    announced.run("stage3_trending_sectors")
    # What the broker had taken in while it hung may be there twice.
    once = {record.message_id: record for record in announced.records()}
    assert_alike(said(list(once.values())), announced.world.tables())
    announced.run("stage5_portfolio_allocation")


def test_a_replay_into_an_empty_database_gives_every_table_as_it_is(announced: Announced, other: Database) -> None:
    world = announced.world
    context = World(world.home, world.emulator, other, other)
    options: dict[str, Any] = {"now": MORNING_AFTER, "settings": announced.settings(), "stages": ["replay_topic"]}
    (report,) = context.run(announced.spark, AS_OF, **options).values()
    assert (report.exit_code, report.rows_rejected) == (0, 0), report.message
    assert_alike(context.tables(), world.tables())
    changes_of_weights = "SELECT * FROM analytics_portfolio_changes ORDER BY 1, 3"
    assert context.query(changes_of_weights) == world.query(changes_of_weights) != []
