"""One application at a time writes to staging, where the store needs that."""

from __future__ import annotations

import pytest

from spark_app.errors import AnotherRunActiveError
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.single_writer import hold_writing

_END_ALL = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def test_a_second_writer_is_refused_until_the_first_is_done(database: Database) -> None:
    with hold_writing(database) as confirm:
        confirm()
        with pytest.raises(AnotherRunActiveError, match="another run writes to staging"), hold_writing(database):
            pass
    with hold_writing(database):
        pass


def test_a_writer_whose_connection_was_lost_takes_its_place_again(database: Database) -> None:
    with hold_writing(database) as confirm:
        with database.connect() as connection:
            connection.execute(_END_ALL)
        confirm()
        with pytest.raises(AnotherRunActiveError), hold_writing(database):
            pass
