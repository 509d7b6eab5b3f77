"""A database elsewhere is reached by TLS, verified in full, by psycopg and by Spark, unless the URL says less."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import pytest
from pyspark.sql import SparkSession

from spark_app.errors import PassingFailureError, ServiceUnavailableError
from spark_app.schemas import ETF_OHLC
from spark_app.storage.postgres.database import Database, parse_url
from spark_app.storage.postgres.publishing import loading
from spark_app.storage.postgres.publishing.publication import Publication
from tests.storage.postgres.publishing.test_publish import bars, closes, send
from tests.storage.postgres.tls_front import TlsFront, make_authority, make_certificate, tls_front

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates with")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(scope="module")
def another_authority(authority: Path) -> Path:
    return make_authority(authority.parent, "another")


@pytest.fixture(scope="module")
def certificate(authority: Path) -> Path:
    return make_certificate(authority)


@pytest.fixture
def front(database: Database, certificate: Path) -> Iterator[TlsFront]:
    with tls_front(int(database.parameters["port"]), certificate) as opened:
        yield opened


def through(front: TlsFront, database: Database, host: str, **parameters: object) -> Database:
    """The database behind the front, as a user's URL names it."""
    query = "&".join(f"{name}={quote(str(value))}" for name, value in parameters.items())
    place = f"{host}:{front.port}/{database.parameters['dbname']}"
    return parse_url(f"postgresql://{database.parameters['user']}:{database.password}@{place}?{query}")


def on_this_machine(database: Database) -> Database:
    """The same, where the name of its host stands for the address of this machine."""
    return replace(database, parameters={**database.parameters, "hostaddr": "127.0.0.1"})


def refusal(database: Database) -> str:
    """The sentence with which a connection is refused, and is not worth another try."""
    with pytest.raises(ServiceUnavailableError, match="^cannot reach PostgreSQL at ") as failure:
        database.connect()
    assert not isinstance(failure.value, PassingFailureError)
    assert "\n" not in str(failure.value)
    assert str(database.password) not in str(failure.value)
    return str(failure.value)


def test_a_run_publishes_over_verified_tls(
    spark: SparkSession, database: Database, front: TlsFront, authority: Path
) -> None:
    verified = through(front, database, "localhost", sslmode="verify-full", sslrootcert=authority)
    send(verified, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})))
    assert closes(verified) == {"XLK": Decimal(10)}
    # psycopg for the run log and the merge, JDBC for the rows; the front lets no other connection through.
    assert front.encrypted >= 4


def test_a_host_elsewhere_is_verified_without_being_told_to(
    database: Database, front: TlsFront, authority: Path
) -> None:
    right = through(front, database, "db.example.com", sslrootcert=authority)
    with on_this_machine(right).connect() as connection:
        assert connection.pgconn.ssl_in_use
    wrong = through(front, database, "db2.example.com", sslrootcert=authority)
    assert "does not match host name" in refusal(on_this_machine(wrong))


def test_a_certificate_of_another_authority_is_refused(
    database: Database, front: TlsFront, another_authority: Path
) -> None:
    wrong = through(front, database, "localhost", sslmode="verify-full", sslrootcert=another_authority)
    assert "certificate verify failed" in refusal(wrong)
    assert "sslrootcert" in refusal(wrong)


def test_a_certificate_for_another_name_is_refused(database: Database, front: TlsFront, authority: Path) -> None:
    wrong = through(front, database, "127.0.0.1", sslmode="verify-full", sslrootcert=authority)
    assert 'does not match host name "127.0.0.1"' in refusal(wrong)


def test_an_authority_that_is_not_there_is_refused(database: Database, front: TlsFront, tmp_path: Path) -> None:
    said = refusal(through(front, database, "localhost", sslmode="verify-full", sslrootcert=tmp_path / "none.crt"))
    assert "does not exist: sslrootcert=system in DATABASE_URL trusts" in said


def test_the_authorities_of_the_system_are_trusted_by_both_sides(
    spark: SparkSession, database: Database, front: TlsFront, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    verified = through(front, database, "localhost", sslrootcert="system")
    send(verified, Publication(ETF_OHLC, bars(spark, {"XLK": "10"})))
    assert closes(verified) == {"XLK": Decimal(10)}


def test_plain_text_is_refused(database: Database, authority: Path) -> None:
    with tls_front(int(database.parameters["port"]), None) as plain:
        said = refusal(on_this_machine(through(plain, database, "db.example.com", sslrootcert=authority)))
    assert "server does not support SSL" in said
    assert "sslmode=disable" in said


def test_plain_text_is_used_where_the_url_wants_it(database: Database) -> None:
    place = f"db.example.com:{database.parameters['port']}/{database.parameters['dbname']}"
    plain = parse_url(f"postgresql://{database.parameters['user']}:{database.password}@{place}?sslmode=disable")
    with on_this_machine(plain).connect() as connection:
        assert not connection.pgconn.ssl_in_use


@pytest.mark.parametrize("wrong", ["authority", "name", "plain text"])
def test_spark_refuses_what_psycopg_refuses(
    spark: SparkSession,
    database: Database,
    front: TlsFront,
    authority: Path,
    another_authority: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: str,
) -> None:
    verified = through(front, database, "localhost", sslmode="verify-full", sslrootcert=authority)
    options = verified.jdbc_options()
    with tls_front(int(database.parameters["port"]), None) as plain, verified.connect() as connection:
        loading.create_table(connection, ETF_OHLC, "mine")
        old, new = {
            "authority": (authority.name, another_authority.name),
            "name": ("//localhost", "//127.0.0.1"),
            "plain text": (str(front.port), str(plain.port)),
        }[wrong]
        changed = {**options, "url": options["url"].replace(old, new)}
        assert changed != options
        monkeypatch.setattr(Database, "jdbc_options", lambda self: changed)
        with pytest.raises(ServiceUnavailableError) as failure:
            loading.load(verified, bars(spark, {"XLK": "10"}), ETF_OHLC, "mine")
        assert connection.execute("SELECT count(*) FROM loading.mine").fetchone() == (0,)
    assert "\n" not in str(failure.value)
    assert str(database.password) not in str(failure.value)
