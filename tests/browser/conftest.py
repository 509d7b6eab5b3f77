"""A real browser, and a page per portfolio."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, sync_playwright

from spark_app.storage.postgres.database import parse_url
from tests.browser.scenes import SCENES
from tests.results.page.world import write_page
from tests.storage.postgres.copies import new_database

_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
_OPTIONS += ["--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    assert found, "Chromium is not on PATH: scripts/require_browser.sh says what to install"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=_OPTIONS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def page_file(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the page of a scene, once."""
    folder, server = tmp_path_factory.mktemp("pages"), parse_url(postgres_url)

    def made(scene: str) -> Path:
        file = folder / f"{scene}.html"
        if not file.exists():
            with new_database(server, template=server.parameters["dbname"]) as database:
                with database.connect() as connection:
                    SCENES[scene](connection)
                write_page(database, file)
        return file

    return made


@pytest.fixture(scope="module")
def twelve(postgres_url: str) -> Iterator[psycopg.Connection]:
    """The database behind the page of twelve positions."""
    server = parse_url(postgres_url)
    with (
        new_database(server, template=server.parameters["dbname"]) as database,
        database.connect() as connection,
    ):
        SCENES["twelve"](connection)
        yield connection
