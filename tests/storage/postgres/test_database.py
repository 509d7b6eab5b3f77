"""DATABASE_URL: what is accepted, what is rejected, and that no password is shown."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import sql
from pydantic import SecretStr

from spark_app.config.settings import DatabaseSettings
from spark_app.errors import PassingFailureError, ServiceUnavailableError, SettingsError
from spark_app.storage.postgres.database import Database, administrator_of, open_database, parse_url
from spark_app.storage.postgres.retry import RetryPolicy
from tests.storage.postgres.logins import url_of
from tests.storage.postgres.pooler import pooler


def test_a_remote_host_is_reached_with_full_verification_by_default() -> None:
    assert parse_url("postgresql://me@db.example.com/prices").parameters["sslmode"] == "verify-full"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.9", "[::1]"])
def test_loopback_needs_no_tls(host: str) -> None:
    assert "sslmode" not in parse_url(f"postgresql://me@{host}/prices").parameters


def test_sslmode_in_the_url_is_used() -> None:
    assert parse_url("postgresql://me@db.example.com/prices?sslmode=disable").parameters["sslmode"] == "disable"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://me@host/db", "not a PostgreSQL URL"),
        ("postgresql://me:s3cret@host:port/db", "invalid port 'port'"),
        ("postgresql://me:s3cret@/db", "one TCP host"),
        ("postgresql://me:s3cret@a,b/db", "one TCP host"),
        ("postgresql://me:s3cret@host", "names no database"),
        ("postgresql://me:s3cret@[::1/db", "invalid DATABASE_URL"),
        ("postgresql://me:s3cret@host:99999/db", "invalid port '99999'"),
        ("postgresql://me:x@s3cret@host/db", "in its password write %40 for @, %2F for /"),
        ("postgresql://me:12/s3cret@host/db", "in its password write %40 for @, %2F for /"),
        ("postgresql://me/s3cret@host:5432/db", "in its password write %40 for @, %2F for /"),
        ("postgresql://me@host/db?sslpassword=s3cret", "unsupported parameters in DATABASE_URL: sslpassword$"),
    ],
)
def test_a_malformed_url_is_rejected_without_repeating_it(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as failure:
        parse_url(url)
    assert "s3cret" not in str(failure.value)


def test_a_database_never_shows_its_password() -> None:
    assert "s3cret" not in repr(parse_url("postgresql://me:s3cret@localhost/db"))


def test_a_password_file_beats_the_password_in_the_url() -> None:
    settings = DatabaseSettings(url=SecretStr("postgresql://me:old@localhost/db"), password=SecretStr("new"))
    with open_database(settings) as database:
        assert database.password == "new"


def test_a_database_that_is_down_is_one_sentence() -> None:
    with pytest.raises(ServiceUnavailableError, match="cannot reach PostgreSQL at 127.0.0.1:1/db") as failure:
        parse_url("postgresql://me:s3cret@127.0.0.1:1/db").connect()
    assert "s3cret" not in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("password", ["s3cret", None])
def test_a_wrong_password_is_a_setting_and_is_not_retried(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, password: str | None
) -> None:
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    monkeypatch.delenv("PGPASSWORD", raising=False)
    mistaken = replace(database, password=password, retry_policy=RetryPolicy(retry_seconds=3600))
    with pytest.raises(SettingsError, match="^cannot reach PostgreSQL at .* password") as failure:
        mistaken.connect_with_retries()
    assert failure.value.exit_code == 2
    assert "s3cret" not in str(failure.value)


def test_what_took_longer_than_the_retries_last_is_retried_too() -> None:
    attempts = []

    def load_for_long() -> str:
        attempts.append(time.monotonic())
        if len(attempts) == 1:
            time.sleep(0.4)
            raise PassingFailureError("the server restarts")
        return "loaded"

    assert RetryPolicy(retry_seconds=0.3).call(load_for_long) == "loaded"


def test_the_url_may_set_the_time_to_wait(database: Database) -> None:
    place = f"127.0.0.1:{database.parameters['port']}/{database.parameters['dbname']}"
    waiting = parse_url(f"postgresql://spark_app:{database.password}@{place}?connect_timeout=5")
    with waiting.connect() as connection:
        assert connection.info.get_parameters()["connect_timeout"] == "5"


def test_credentials_of_this_machine_travel_to_others(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password_file = tmp_path / "pgpass"
    password_file.write_text(f"*:*:*:spark_app:{database.password}\n")
    password_file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(password_file))
    monkeypatch.setenv("PGUSER", "spark_app")
    place = {name: value for name, value in database.parameters.items() if name != "user"}
    found = Database(place).with_credentials()
    assert (found.parameters["user"], found.password) == ("spark_app", database.password)


def test_an_administrator_is_another_user_of_the_same_database(database: Database, empty_database: Database) -> None:
    named = DatabaseSettings(url=SecretStr(url_of(database)), admin_url=SecretStr(url_of(database)))
    assert administrator_of(named, database).place == database.place
    with pooler(database, "session") as proxy:
        behind = replace(database, parameters={**database.parameters, "port": str(proxy.port)})
        assert administrator_of(named, behind).place == database.place
    elsewhere = DatabaseSettings(url=named.url, admin_url=SecretStr(url_of(empty_database)))
    with pytest.raises(SettingsError) as refusal:
        administrator_of(elsewhere, database)
    assert str(refusal.value) == (
        f"DATABASE_ADMIN_URL leads to another database ({empty_database.place}) than DATABASE_URL ({database.place}):"
        " name the same database in both"
    )


def test_an_administrator_without_a_database_url_is_refused(database: Database) -> None:
    with pytest.raises(SettingsError, match="^DATABASE_ADMIN_URL is set without DATABASE_URL: "):
        administrator_of(DatabaseSettings(admin_url=SecretStr(url_of(database))), database)


def test_without_an_administrator_nothing_is_asked() -> None:
    nobody = parse_url("postgresql://me@127.0.0.1:9/db")
    assert administrator_of(DatabaseSettings(), nobody) is nobody


def test_a_database_name_is_escaped_in_the_jdbc_url(empty_database: Database) -> None:
    named = Database({**empty_database.parameters, "dbname": "postgres"}, empty_database.password)
    name = "odd/name?ssl=true&user=x %41"
    with named.connect() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = Database({**named.parameters, "dbname": name}, named.password).jdbc_options()["url"]
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
    assert "/odd%2Fname%3Fssl%3Dtrue%26user%3Dx%20%2541?" in url


def test_jdbc_gets_the_same_place_and_credentials(database: Database) -> None:
    options = database.jdbc_options()
    place = f"//127.0.0.1:{database.parameters['port']}/{database.parameters['dbname']}?"
    assert options["url"].startswith(f"jdbc:postgresql:{place}")
    assert "reWriteBatchedInserts=true" in options["url"]
    assert options["password"] == database.password
    assert str(database.password) not in options["url"]
