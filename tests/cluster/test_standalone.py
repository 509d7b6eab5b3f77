"""The daily pipeline on a standalone cluster serves what a run on this machine serves, also where an executor dies."""

from __future__ import annotations

import os
import signal
import tarfile
import threading
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.market import DELAY_SECONDS, PATIENCE_SECONDS, differing, staged_keys, submitted_day, worked
from tests.cluster.standalone import SMALL_EXECUTORS, Cluster
from tests.integration.expected import Rows
from tests.integration.fetch_market import STAGE_1
from tests.integration.lateness import watching_lateness
from tests.integration.world import PROJECT, World

STOCK_CHARTS = r"/chart/[A-Z]+(AA|BB|CC)\?"
PYTHON = PROJECT / ".venv" / "bin" / "python"


def test_machines_with_plain_spark_and_the_libraries_do_the_work(
    world: World, cluster: Cluster, environment: Path, local_tables: Mapping[str, Rows]
) -> None:
    python = f"spark.pyspark.python={environment}/bin/python"
    own = ("--conf", python, "--conf", f"spark.pyspark.driver.python={PYTHON}")
    with watching_lateness() as lateness:
        worked(world, "--master", cluster.master, *own, *SMALL_EXECUTORS, delay=DELAY_SECONDS)
    assert differing(world, local_tables) == []
    assert len(world.emulator.log) > len(STAGE_1)
    # A busy machine notes an arrival late; the pause itself is measured in a test of its own.
    assert world.emulator.log.smallest_gap() >= 0.98 * DELAY_SECONDS - min(lateness.worst, DELAY_SECONDS / 2)


def test_an_executor_that_is_killed_in_mid_stage_costs_no_row(
    world: World, cluster: Cluster, environment: Path, local_tables: Mapping[str, Rows], tmp_path: Path
) -> None:
    packed, killed = tmp_path / "environment.tar.gz", threading.Event()
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(environment, ".")
    world.emulator.fail(STOCK_CHARTS, until=killed)
    options = ("--master", cluster.master, "--environment", str(packed), *SMALL_EXECUTORS)
    with submitted_day(world, *options, delay=DELAY_SECONDS) as process:
        # Each executor waits for its first answer now.
        there = world.emulator.log.wait_for("chart", len(STAGE_1) + 2, PATIENCE_SECONDS)
        assert there, process.said
        before = cluster.executors()
        os.kill(before[0], signal.SIGKILL)
        killed.set()
        assert process.wait(PATIENCE_SECONDS) == 0, process.said
    assert len(before) == 2
    assert differing(world, local_tables) == []
    for table, keys in staged_keys(world.home / "staging").items():
        assert len(keys) == len(set(keys)), table
