"""Installations of the pipeline: one per module, or one per test on the calm market."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_app.storage.delta.staging import BARS_TABLE, FETCHES_TABLE, HOLDINGS_TABLE, QUOTES_TABLE, Staging
from spark_app.storage.postgres.database import Database
from tests.emulator import YahooEmulator
from tests.integration.fetch_market import fetch_market
from tests.integration.fetch_world import FetchWorld
from tests.integration.world import World
from tests.storage.postgres.logins import login_as


@pytest.fixture(scope="module", autouse=True)
def in_every_module(no_settings_from_outside: None) -> None:
    """No test of this folder sees the settings of whoever runs it."""


@pytest.fixture(scope="session")
def empty_staging(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    """Staging tables without a row, to be copied: that is quicker than to make them."""
    folder = tmp_path_factory.mktemp("empty") / "staging"
    for table in (FETCHES_TABLE, BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE):
        Staging(spark, str(folder), "real").ensure(table)
    return folder


@pytest.fixture
def fetch_world(tmp_path: Path, database: Database, spark: SparkSession, empty_staging: Path) -> Iterator[FetchWorld]:
    """An installation of the test's own on the calm market, with nothing fetched yet."""
    shutil.copytree(empty_staging, tmp_path / "staging")
    with YahooEmulator(fetch_market()) as emulator, login_as(database, "spark_app_pipeline") as pipeline:
        yield FetchWorld(World(tmp_path, emulator, pipeline, database), spark)
