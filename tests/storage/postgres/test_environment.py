"""Variables that PostgreSQL's client library reads change nothing, but for credentials."""

from __future__ import annotations

import os

import pytest
from psycopg import pq

from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.environment import CREDENTIALS, IGNORED, ignore_variables


def test_every_variable_that_the_library_knows_has_its_place() -> None:
    known = {option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar}
    assert known - {*IGNORED} == {*CREDENTIALS}


def test_no_variable_changes_anything(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in IGNORED:
        monkeypatch.setenv(name, "nonsense")
        with database.connect() as connection:
            assert connection.execute("SELECT current_setting('DateStyle')").fetchone() == ("ISO, MDY",), name
            assert connection.info.host == "127.0.0.1", name


def test_options_of_the_environment_change_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c default_transaction_read_only=on -c work_mem=65kB")
    with database.connect() as connection:
        asked = "SELECT current_setting('default_transaction_read_only'), current_setting('work_mem')"
        assert connection.execute(asked).fetchone() == ("off", "4MB")


def test_programs_that_are_started_do_not_see_them_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSERVICE", "another")
    monkeypatch.setenv("PGPASSFILE", "mine")
    ignore_variables()
    assert "PGSERVICE" not in os.environ
    assert os.environ["PGPASSFILE"] == "mine"
