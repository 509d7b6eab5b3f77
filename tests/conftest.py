"""What every test may use, and the markers of what it needs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from pyspark.sql import SparkSession

from spark_app.spark.session import build_session
from spark_app.storage.postgres.database import Database, parse_url
from spark_app.storage.postgres.embedded.server import EmbeddedPostgres
from spark_app.storage.postgres.migrate import migrate
from spark_app.storage.postgres.roles import set_up_roles
from tests.needs import needs_of
from tests.outside import without_settings_of_a_user
from tests.storage.postgres.copies import copy_home, new_database

# The same examples in every run, however slow the machine: a failure is one for everybody.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("suite")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with what it needs."""
    for item in items:
        assert isinstance(item, pytest.Function)
        for need in needs_of(item):
            item.add_marker(need)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A `local[2]` session with the pipeline's own settings, without UI, few partitions."""
    warehouse = tmp_path_factory.mktemp("warehouse")
    session = build_session(
        "tests",
        master="local[2]",
        extra={
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "2",
            "spark.databricks.delta.snapshotPartitions": "2",
            "spark.sql.warehouse.dir": warehouse.as_uri(),
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
        },
    )
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


@pytest.fixture
def java_calls(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What PySpark asks Java from now on: each command of Py4J and its answer, as they are sent."""
    calls: list[tuple[str, str]] = []
    client: Any = spark.sparkContext._gateway._gateway_client  # type: ignore[union-attr]
    send = client.send_command

    def send_and_note(command: str, *rest: object) -> str:
        answer = str(send(command, *rest))
        calls.append((command, answer))
        return answer

    monkeypatch.setattr(client, "send_command", send_and_note)
    return calls


@pytest.fixture(scope="module")
def no_settings_from_outside() -> Iterator[None]:
    """Whoever runs the tests may have settings and a database of their own."""
    with without_settings_of_a_user():
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real prices and recorded answers; tests that need it are skipped without it."""
    if not (SHARED / "market_data").is_dir():
        pytest.skip(f"no market data at {SHARED}: this test compares with real prices")
    return SHARED


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A temporary folder that other users may enter: as root, the embedded database runs as one of them."""
    folder = Path(tempfile.mkdtemp(prefix="spark_app-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def initialised_postgres(open_folder: Path) -> Path:
    """The files of a server that is stopped, whose database has the pipeline's tables and roles: to be copied."""
    home = open_folder / "initialised"
    with EmbeddedPostgres(home).lease() as url:
        migrate(parse_url(url))
        set_up_roles(parse_url(url))
    return home


@pytest.fixture(scope="session")
def postgres_url(open_folder: Path, initialised_postgres: Path) -> Iterator[str]:
    """A running PostgreSQL of the tests' own; the URL of its database, which has the pipeline's tables and no row."""
    with EmbeddedPostgres(copy_home(initialised_postgres, open_folder / "postgres")).lease() as url:
        yield url


@pytest.fixture(scope="module")
def home(open_folder: Path, initialised_postgres: Path) -> Path:
    """A folder for one installation, which the embedded PostgreSQL can reach whoever runs it, with its tables."""
    folder = Path(tempfile.mkdtemp(dir=open_folder))
    folder.chmod(0o755)
    copy_home(initialised_postgres, folder / "postgres")
    return folder


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[Database]:
    """A database of the test's own, without any table."""
    with new_database(parse_url(postgres_url)) as made:
        yield made


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    """A database of the test's own with the pipeline's tables and roles: a copy, which is quicker than to migrate."""
    server = parse_url(postgres_url)
    with new_database(server, template=server.parameters["dbname"]) as made:
        yield made
