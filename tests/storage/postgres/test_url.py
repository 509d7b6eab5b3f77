"""DATABASE_URL as providers write it: what is accepted, how JDBC spells it, what gets a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark_app.errors import SettingsError
from spark_app.storage.postgres import url as url_module
from spark_app.storage.postgres.url import jdbc_parameters, libpq_parameters, parse_parameters

PLACE = "postgresql://me:s3cret@db.example.com/market"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("connect_timeout=abc", "invalid connect_timeout 'abc' in DATABASE_URL: expected a whole number"),
        ("keepalives_idle=-1", "invalid keepalives_idle '-1' in DATABASE_URL: expected a whole number"),
        ("sslmode=sometimes", "invalid sslmode 'sometimes' in DATABASE_URL: choose from disable, allow, prefer, "),
        ("channel_binding=no", "invalid channel_binding 'no' in DATABASE_URL: choose from disable, prefer, require"),
        ("target_session_attrs=standby", "invalid target_session_attrs 'standby' in DATABASE_URL: choose from any, "),
        ("sslrootcert=system&sslmode=require", "sslrootcert=system in DATABASE_URL needs sslmode=verify-full"),
        ("options=-c%20search_path%3Dx", "invalid options in DATABASE_URL: only endpoint=NAME is accepted"),
        ("pgbouncer=true", "DATABASE_URL names a connection pooler"),
        ("connection_limit=5", "unsupported parameters in DATABASE_URL: connection_limit$"),
        ("hostaddr=10.0.0.1", "unsupported parameters in DATABASE_URL: hostaddr$"),
        ("port=%C2%B2", "invalid port '²' in DATABASE_URL"),
    ],
)
def test_a_wrong_parameter_gets_a_sentence(query: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{message}") as failure:
        parse_parameters(f"{PLACE}?{query}")
    assert "s3cret" not in str(failure.value)


def test_no_part_of_a_password_is_taken_for_a_parameter() -> None:
    with pytest.raises(SettingsError) as failure:
        parse_parameters("postgresql://me:a?s3cret=b@db.example.com/market?schema=x")
    assert str(failure.value).startswith("invalid DATABASE_URL: expected ")
    assert "s3cret" not in str(failure.value)


def test_the_url_of_neon() -> None:
    known = parse_parameters(f"{PLACE}?sslmode=require&channel_binding=require&options=endpoint%3Dep-blue-1")
    assert jdbc_parameters(known) == {
        "sslmode": "require",
        "channelBinding": "require",
        "options": "endpoint=ep-blue-1",
    }


def test_the_url_of_supabase() -> None:
    known = parse_parameters(
        f"{PLACE}?pgbouncer=false&sslmode=require&connect_timeout=15&target_session_attrs=read-write"
    )
    assert known["target_session_attrs"] == "read-write"
    assert jdbc_parameters(known) == {"sslmode": "require", "connectTimeout": "15"}


def test_parameters_without_a_meaning_are_dropped() -> None:
    known = parse_parameters(f"{PLACE}?client_encoding=LATIN1&load_balance_hosts=random&sslsni=0")
    assert set(known) == {"host", "port", "dbname", "user", "password", "sslmode"}


@pytest.mark.parametrize("host", ["db.example.com", "localhost"])
def test_the_authorities_of_the_system_are_a_file_for_both_sides(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "authorities.crt"
    bundle.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    known = parse_parameters(f"postgresql://me@{host}/market?sslrootcert=system")
    assert known["sslmode"] == "verify-full"
    assert libpq_parameters(known)["sslrootcert"] == str(bundle)
    assert jdbc_parameters(known) == {"sslmode": "verify-full", "sslrootcert": str(bundle)}


def test_without_such_a_file_java_uses_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url_module, "_system_roots", lambda: None)
    known = parse_parameters(f"{PLACE}?sslrootcert=system")
    assert libpq_parameters(known)["sslrootcert"] == "system"
    assert jdbc_parameters(known) == {
        "sslmode": "verify-full",
        "sslfactory": "org.postgresql.ssl.DefaultJavaSSLFactory",
    }
