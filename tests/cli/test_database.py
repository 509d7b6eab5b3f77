"""`db dump` and `db restore`: a copy of the database that brings it back, all of it or nothing."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from spark_app.cli.database import main
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.migrate import migrate

PASSWORD_OF_NOBODY = "s3cret"


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_ADMIN_URL", "DATABASE_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)


def use(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands work on this database."""
    place, password = database.parameters, quote(database.password or "")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{place['user']}:{password}@{database.place}?sslmode=disable")


def errors(database: Database) -> list[str]:
    with database.connect() as connection:
        return [m for (m,) in connection.execute("SELECT error_msg FROM logs_consumer_error ORDER BY id").fetchall()]


def note(database: Database, message: str) -> None:
    with database.connect() as connection:
        connection.execute("INSERT INTO logs_consumer_error (error_msg) VALUES (%s)", (message,))


def test_a_dump_brings_the_database_back(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(database, monkeypatch)
    note(database, "before")
    copy = tmp_path / "a copy.dump"
    assert main(["db", "dump", str(copy)]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["a copy.dump"]
    assert copy.stat().st_mode & 0o077 == 0
    note(database, "after")
    with database.connect() as connection:
        connection.execute("CREATE TABLE loading.left_behind_12345678 (ticker text)")
        connection.execute("COMMENT ON TABLE loading.left_behind_12345678 IS '2024-05-10T00:00:00+00:00'")

    assert main(["db", "restore", str(copy)]) == 2
    assert "db restore --force" in capsys.readouterr().err
    assert errors(database) == ["before", "after"]

    assert main(["db", "restore", "--force", str(copy)]) == 0
    assert errors(database) == ["before"]
    note(database, "next")
    assert errors(database) == ["before", "next"]


def test_a_dump_goes_into_an_empty_database(
    database: Database, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(database, monkeypatch)
    note(database, "before")
    assert main(["db", "dump", str(tmp_path / "copy")]) == 0
    with database.connect() as connection:
        connection.execute("DROP SCHEMA public CASCADE; DROP SCHEMA loading CASCADE; CREATE SCHEMA public")
    assert main(["db", "restore", str(tmp_path / "copy")]) == 0
    assert errors(database) == ["before"]


def test_a_dump_of_an_earlier_version_replaces_a_newer_schema(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(database, monkeypatch)
    with database.connect() as connection:
        connection.execute("DROP VIEW analytics_portfolio_turnover; DELETE FROM schema_migrations WHERE version > 7")
    note(database, "before")
    assert main(["db", "dump", str(tmp_path / "copy")]) == 0
    assert migrate(database) == ["0008_portfolio_turnover.sql"]
    assert main(["db", "restore", "--force", str(tmp_path / "copy")]) == 0
    assert errors(database) == ["before"]
    assert migrate(database) == ["0008_portfolio_turnover.sql"]


def test_a_broken_dump_leaves_the_database_as_it_was(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(database, monkeypatch)
    note(database, "before")
    copy = tmp_path / "copy"
    assert main(["db", "dump", str(copy)]) == 0
    copy.write_bytes(copy.read_bytes()[:-2000])
    assert main(["db", "restore", "--force", str(copy)]) == 1
    assert "pg_restore: error" in capsys.readouterr().err
    assert errors(database) == ["before"]


def test_mistakes_get_a_sentence_and_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://someone:{PASSWORD_OF_NOBODY}@127.0.0.1:9/market")
    assert main(["db", "dump", str(tmp_path / "copy")]) == 69
    assert main(["db", "dump", str(tmp_path / "no folder" / "copy")]) == 2
    assert main(["db", "restore", str(tmp_path / "none")]) == 2
    said = capsys.readouterr().err
    assert PASSWORD_OF_NOBODY not in said
    assert "there is no such file" in said
    assert list(tmp_path.iterdir()) == []
