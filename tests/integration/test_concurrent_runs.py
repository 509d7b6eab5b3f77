"""Runs at the same time: of one stage and date one works; others come out as if they had run one after the other."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from spark_app.ingestion import charts
from spark_app.pipeline.result import StageReport, StageResult
from spark_app.pipeline.run import Run
from spark_app.storage.delta.staging import BARS_TABLE, Staging
from tests.emulator import YahooEmulator
from tests.integration.expected import Rows
from tests.integration.fetch_market import AS_OF, MORNING_AFTER, fetch_market
from tests.integration.fetch_world import STAGE1, STAGE2, FetchWorld
from tests.integration.world import World, differences, open_world, without_text

BACKFILL = "backfill_etf_benchmarks"
PATIENCE_SECONDS = 120
TIMES = 20
_KEPT_WAITING = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def at_once(*runs: Callable[[], Any]) -> list[Any]:
    """Begin all of them at the same moment; returns what they return."""
    start = threading.Barrier(len(runs))

    def begin(run: Callable[[], Any]) -> Any:
        start.wait(PATIENCE_SECONDS)
        return run()

    with ThreadPoolExecutor(len(runs)) as pool:
        return list(pool.map(begin, runs))


def test_of_two_runs_of_a_stage_and_date_one_works_and_the_other_says_so(
    fetch_world: FetchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = threading.Semaphore(0)

    def work_until_the_other_is_refused(_: Run) -> StageResult:
        assert refused.acquire(timeout=PATIENCE_SECONDS)
        return StageResult("done")

    def run() -> StageReport:
        report = fetch_world.run()
        if report.exit_code:
            refused.release()
        return report

    monkeypatch.setattr("spark_app.stages.stage1_etf_ohlc.run", work_until_the_other_is_refused)
    for _ in range(TIMES):
        worked, other = sorted(at_once(run, run), key=lambda report: report.exit_code)
        assert (worked.exit_code, worked.message) == (0, "done")
        assert (other.exit_code, other.status) == (73, "failed")
        assert other.message == f"{STAGE1} for {AS_OF} is already running: wait for it to end"
    logged = fetch_world.world.query("SELECT status, count(*) FROM logs_pipeline_run GROUP BY status")
    assert logged == [("ok", TIMES)]


@pytest.fixture(scope="module")
def one_after_the_other(home: Path, spark: SparkSession) -> Iterator[Mapping[str, Rows]]:
    """What the same jobs serve when each waits for the other."""
    with YahooEmulator(fetch_market()) as emulator, open_world(home, emulator) as world:
        for job, options in JOBS.items():
            report = world.run(spark, AS_OF, stages=[job], now=MORNING_AFTER, **options)[job]
            assert report.exit_code == 0, report.message
        yield {name: without_text(rows) for name, rows in world.tables().items()}


JOBS: dict[str, dict[str, Any]] = {STAGE1: {}, BACKFILL: {"days": 30}, STAGE2: {}}


@pytest.mark.campaign
def test_jobs_beside_each_other_serve_the_same_as_one_after_the_other(
    one_after_the_other: Mapping[str, Rows], fetch_world: FetchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, spark = fetch_world.world, fetch_world.spark
    stage_bars_together(world, monkeypatch)

    def run(job: str) -> StageReport:
        return world.run(spark, AS_OF, stages=[job], now=MORNING_AFTER, **JOBS[job])[job]

    reports = at_once(*[functools.partial(run, job) for job in JOBS])
    assert [report.exit_code for report in reports] == [0, 0, 0], reports
    assert not [report.message for report in reports if "restated" in report.message]
    tables = {name: without_text(rows) for name, rows in world.tables().items()}
    assert [found for name in tables for found in differences(tables[name], one_after_the_other[name])] == []
    assert world.query("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]
    keys = [(row["ticker"], row["trade_date"]) for row in fetch_world.staged(BARS_TABLE)]
    assert len(keys) == len(set(keys))


def stage_bars_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two runs begin to stage their bars at once, and the first to append wait for the other to come as far."""
    begin, is_first, other_came = threading.Barrier(2), threading.Lock(), threading.Event()
    have_begun = threading.Event()
    stage_bars, append = charts.stage_bars, Staging.append

    def begin_together(*args: Any, **options: Any) -> Any:
        begin.wait(PATIENCE_SECONDS)
        have_begun.set()
        return stage_bars(*args, **options)

    def wait_and_append(staging: Staging, table: str, rows: Any) -> int:
        if table == BARS_TABLE and have_begun.is_set() and is_first.acquire(blocking=False):
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not (other_came.is_set() or world.query(_KEPT_WAITING)) and time.monotonic() < deadline:
                time.sleep(0.05)
        elif table == BARS_TABLE and is_first.locked():
            other_came.set()
        return append(staging, table, rows)

    monkeypatch.setattr(charts, "stage_bars", begin_together)
    monkeypatch.setattr(Staging, "append", wait_and_append)
