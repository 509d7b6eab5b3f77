"""Installations of the pipeline for tests beside a cluster, and what the same work serves without one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.cluster.market import served, trending_market, worked
from tests.cluster.standalone import Cluster, plain_python, standalone_cluster
from tests.emulator import YahooEmulator
from tests.integration.expected import Rows
from tests.integration.world import World, open_world
from tests.outside import without_settings_of_a_user


@pytest.fixture(scope="package", autouse=True)
def only_settings_of_the_cluster() -> Iterator[None]:
    """Whoever runs the tests may have settings, a database and a cloud of their own."""
    with without_settings_of_a_user("SPARK_MASTER", "AWS_", "HADOOP_", "YARN_"):
        yield


def new_world(open_folder: Path) -> Iterator[World]:
    home = Path(tempfile.mkdtemp(dir=open_folder))
    home.chmod(0o755)
    with YahooEmulator(trending_market()) as emulator, open_world(home, emulator) as world:
        yield world


@pytest.fixture
def world(open_folder: Path) -> Iterator[World]:
    """An installation of the test's own, with nothing fetched yet."""
    yield from new_world(open_folder)


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A standalone cluster with plain Spark."""
    with standalone_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="package")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of the cluster's machines."""
    return plain_python(tmp_path_factory.mktemp("python") / "environment")


@pytest.fixture(scope="package")
def local_tables(open_folder: Path) -> Iterator[Mapping[str, Rows]]:
    """What a run on this machine alone serves."""
    for world in new_world(open_folder):
        worked(world)
        tables = served(world)
        assert all(tables.values()), {name: len(rows) for name, rows in tables.items()}
        yield tables
