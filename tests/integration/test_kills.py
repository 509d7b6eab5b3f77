"""A job killed with SIGKILL at a chosen moment, and run again; `make soak` does it for every job and phase.

What a kill in mid-fetch costs is in test_backfills.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.emulator import YahooEmulator
from tests.integration.expected import Known, Rows, daily_prices
from tests.integration.fetch_market import AS_OF, FUNDS, LAST_DAY, NEXT_DAY, fetch_market
from tests.integration.fetch_world import STAGE1
from tests.integration.world import World, differences, open_world, without_text
from tests.soak.campaign import kill
from tests.soak.installation import Installation
from tests.soak.phases import AFTER, Moment

TABLE = "collected_daily_etf_ohlc"


@pytest.fixture(scope="module")
def world(home: Path) -> Iterator[World]:
    with YahooEmulator(fetch_market()) as emulator, open_world(home, emulator) as opened:
        yield opened


def kill_stage_1(world: World, as_of: dt.date, moment: Moment) -> None:
    world.emulator.log.clear()
    command = (STAGE1, "--refresh", "--as-of", str(as_of))
    killed = kill(Installation(world.home, world.emulator), command, moment)
    assert killed.was_hit
    assert killed.left_behind == ()


def assert_a_rerun_completes(world: World, spark: SparkSession, as_of: dt.date, *, inserted: int) -> None:
    """It asks for nothing again, and leaves each row once."""
    asked = world.emulator.log.tickers("chart")
    assert set(asked.values()) == {1}
    report = world.run(spark, as_of, stages=[STAGE1], refresh=False)[STAGE1]
    assert (report.exit_code, report.rows_inserted, report.rows_updated) == (0, inserted, 0), report.message
    assert world.emulator.log.tickers("chart") == asked
    assert not differences(served(world, as_of), right(as_of))


def served(world: World, as_of: dt.date) -> Rows:
    window = {day for _, day in right(as_of)}
    return {key: row for key, row in without_text(world.table(TABLE)).items() if key[1] in window}


def right(as_of: dt.date) -> Rows:
    market = fetch_market()
    return daily_prices(Known(market.bars, market.events, {}, {}), FUNDS, as_of)


def test_between_the_append_to_staging_and_publishing(world: World, spark: SparkSession) -> None:
    kill_stage_1(world, AS_OF, Moment(AFTER, 1, "bars"))
    assert world.table(TABLE) == {}
    assert_a_rerun_completes(world, spark, AS_OF, inserted=14 * 21)


def test_inside_the_merge(world: World, spark: SparkSession) -> None:
    before = world.tables()
    kill_stage_1(world, NEXT_DAY, Moment("inside the merge", 5))
    assert world.tables() == before
    assert_a_rerun_completes(world, spark, NEXT_DAY, inserted=14)


def test_right_after_the_commit(world: World, spark: SparkSession) -> None:
    kill_stage_1(world, LAST_DAY, Moment("right after the commit", 1))
    assert not differences(served(world, LAST_DAY), right(LAST_DAY))
    assert_a_rerun_completes(world, spark, LAST_DAY, inserted=0)
