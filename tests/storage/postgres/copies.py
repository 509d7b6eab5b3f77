"""Copies of what takes long to make: of an initialised server's files, and of a database with tables."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from spark_app.storage.postgres.database import Database


def copy_home(initialised: Path, home: Path) -> Path:
    """Copy the files of a server that is stopped, with their owner; returns `home`."""
    shutil.copytree(initialised, home)
    for copied in (home, *home.rglob("*")):
        known = (initialised / copied.relative_to(home)).stat()
        os.chown(copied, known.st_uid, known.st_gid)
    return home


@contextlib.contextmanager
def new_database(server: Database, template: str = "template1") -> Iterator[Database]:
    """Make a database for the duration of the block, as a copy of another one of the same server."""
    name = f"test_{secrets.token_hex(4)}"
    with server.connect() as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    yield Database({**server.parameters, "dbname": name}, server.password, retry_policy=server.retry_policy)
    with server.connect() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
