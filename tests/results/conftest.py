"""Databases with rows, filled once a module and copied for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spark_app.storage.postgres.database import Database, parse_url
from tests.results.rows import FRIDAY, serve
from tests.storage.postgres.copies import new_database


@pytest.fixture(scope="session")
def served_friday(postgres_url: str) -> Iterator[Database]:
    server = parse_url(postgres_url)
    with new_database(server, template=server.parameters["dbname"]) as made:
        serve(made, FRIDAY)
        yield made


@pytest.fixture
def served(postgres_url: str, served_friday: Database) -> Iterator[Database]:
    """A database of the test's own in which the five stages have served Friday, 2026-11-20."""
    with new_database(parse_url(postgres_url), template=served_friday.parameters["dbname"]) as made:
        yield made
