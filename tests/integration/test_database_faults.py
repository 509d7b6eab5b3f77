"""PostgreSQL fails while a stage is at work: the run bridges it, or ends with 69, and the next run completes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from spark_app.pipeline.result import StageReport
from spark_app.storage.postgres.retry import RetryPolicy
from tests.emulator import YahooEmulator
from tests.integration.fetch_market import AS_OF, STAGE_1, fetch_market
from tests.integration.fetch_world import STAGE1, FetchWorld, each_once, right_prices, served_prices, waves_of
from tests.integration.world import World, differences
from tests.storage.postgres.breakable_server import BreakableServer, breakable_server
from tests.storage.postgres.copies import copy_home
from tests.storage.postgres.logins import login_as
from tests.storage.postgres.test_database_faults import locked_prices, wait_for, wait_for_merge

OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
END_OF_LOCKS = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND granted"
TAKE_LOCK = "SELECT pg_advisory_lock(hashtextextended(%s, 0))"


@pytest.fixture(scope="module")
def server(open_folder: Path, initialised_postgres: Path) -> Iterator[BreakableServer]:
    with breakable_server(copy_home(initialised_postgres, open_folder / "breaks in mid-run")) as own:
        yield own


@pytest.fixture
def shop(tmp_path: Path, spark: SparkSession, empty_staging: Path, server: BreakableServer) -> Iterator[FetchWorld]:
    """An installation with nothing fetched yet, whose server may fail."""
    shutil.copytree(empty_staging, tmp_path / "staging")
    with YahooEmulator(fetch_market()) as emulator, login_as(server.database, "spark_app_pipeline") as pipeline:
        yield FetchWorld(World(tmp_path, emulator, pipeline, server.database), spark)
        server.start()
        with server.database.connect() as connection:
            connection.execute("TRUNCATE collected_daily_etf_ohlc, collected_daily_benchmark_ohlc, logs_pipeline_run")


def waiting_for(shop: FetchWorld, seconds: float) -> FetchWorld:
    """The same installation with other retries."""
    database = replace(shop.world.database, retry_policy=RetryPolicy(retry_seconds=seconds))
    return replace(shop, world=replace(shop.world, database=database))


def when_asked_for(shop: FetchWorld, ticker: str, action: Callable[[], object]) -> None:
    """Let something happen while the ticker's chart is on its way."""

    def edit(payload: dict[str, Any]) -> dict[str, Any]:
        action()
        return payload

    shop.world.emulator.fail("chart", ticker=ticker, times=1, edit=edit)


def execute(server: BreakableServer, text: str, *parameters: object) -> None:
    with server.database.connect() as connection:
        connection.execute(text.encode(), parameters)


def assert_complete(shop: FetchWorld, report: StageReport) -> None:
    assert report.exit_code == 0, report.message
    assert not differences(served_prices(shop), right_prices())


def test_a_run_bridges_a_restart_and_the_end_of_all_its_connections(shop: FetchWorld, server: BreakableServer) -> None:
    patient = waiting_for(shop, 120)
    when_asked_for(shop, "XLV", server.restart)
    when_asked_for(shop, "XLU", lambda: execute(server, f"SELECT pg_terminate_backend(pid) {OTHERS}"))
    assert_complete(shop, patient.run(settings=waves_of(4)))
    assert shop.asked() == each_once(STAGE_1)


def test_a_server_that_stays_away_ends_the_run_and_nothing_that_came_is_asked_again(
    shop: FetchWorld, server: BreakableServer
) -> None:
    when_asked_for(shop, "XLU", server.stop)
    report = waiting_for(shop, 0.5).run(settings=waves_of(4))
    assert report.exit_code == 69
    assert report.message.startswith("cannot reach PostgreSQL at 127.0.0.1:")
    assert report.message.endswith("; what was fetched is kept: run it again")
    came = {ticker for ticker, outcome in shop.outcomes().items() if outcome == "ok"}

    server.start()
    shop.forget_log()
    assert_complete(shop, shop.run())
    assert set(shop.asked()) == set(STAGE_1) - came


def test_a_server_that_crashes_in_mid_merge_leaves_the_old_rows_and_the_next_run_asks_nothing(
    shop: FetchWorld, server: BreakableServer
) -> None:
    with ThreadPoolExecutor() as pool, locked_prices(server.database):
        run = pool.submit(waiting_for(shop, 0).run)
        wait_for_merge(server.database)
        server.stop()
        report = run.result(timeout=120)
    assert report.exit_code == 69
    assert report.message.endswith("; what was fetched is kept: run it again")

    server.start()
    assert served_prices(shop) == {}
    shop.forget_log()
    assert_complete(shop, shop.run())
    assert shop.asked() == {}


def test_a_run_that_loses_its_lock_to_another_one_says_so(shop: FetchWorld, server: BreakableServer) -> None:
    with server.database.connect() as other, ThreadPoolExecutor() as pool:

        def lose_lock() -> None:
            # Who waits for a lock gets it before anybody can ask for it again.
            waiting = pool.submit(other.execute, TAKE_LOCK, (f"run {STAGE1} {AS_OF}",))
            wait_for(server.database, "wait_event_type = 'Lock' AND wait_event = 'advisory'")
            execute(server, END_OF_LOCKS)
            waiting.result(timeout=60)

        when_asked_for(shop, "XLU", lose_lock)
        report = waiting_for(shop, 30).run(settings=waves_of(4))
    assert report.exit_code == 73
    assert report.message == f"{STAGE1} for {AS_OF} is already running: wait for it to end"
    assert served_prices(shop) == {}
    assert_complete(shop, shop.run())


def test_the_wish_to_stop_is_heard_while_a_server_is_away(shop: FetchWorld, server: BreakableServer) -> None:
    stopping = threading.Event()
    database = replace(shop.world.database, retry_policy=RetryPolicy(retry_seconds=2, stopping=stopping))
    interrupted = replace(shop, world=replace(shop.world, database=database))

    def fail() -> None:
        server.stop()
        stopping.set()

    when_asked_for(shop, "XLU", fail)
    report = interrupted.run(settings=waves_of(4), stopping=stopping)
    assert report.exit_code == 130
    assert "interrupted while waiting for PostgreSQL: run it again to resume" in report.message
    server.start()
    assert_complete(shop, shop.run())
