"""One real broker for all tests that need one; each test has topics of its own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from spark_app.storage.postgres.database import Database, parse_url
from tests.kafka.broker import KafkaBroker, running_broker
from tests.storage.postgres.copies import new_database


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with running_broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def topic() -> str:
    return f"rows-{secrets.token_hex(4)}"


@pytest.fixture
def other(postgres_url: str) -> Iterator[Database]:
    """A second database with the pipeline's tables, and nothing in them."""
    server = parse_url(postgres_url)
    with new_database(server, template=server.parameters["dbname"]) as made:
        yield made
