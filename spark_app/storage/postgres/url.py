"""The parameters of DATABASE_URL: which are accepted, and how psycopg and JDBC spell them."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl

import psycopg
from psycopg import conninfo

from spark_app.errors import SettingsError

_URL_FORM = "postgresql://user@host:port/database?sslmode=verify-full"
_PLACE = ("host", "port", "dbname", "user", "password")
_FILES = ("sslrootcert", "sslcert", "sslkey")
_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "sslnegotiation": ("postgres", "direct"),
    # The others name a standby, and a run writes.
    "target_session_attrs": ("any", "read-write", "primary"),
}
_NUMBERS = (
    *("connect_timeout", "tcp_user_timeout"),
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
)
_TEXTS = ("application_name", "options")
_DROPPED = ("client_encoding", "fallback_application_name", "load_balance_hosts", "sslcompression", "sslsni")
"""Without a meaning here: one host, one encoding, and the host's name is always sent."""

_OWN_ENDPOINT = re.compile(r"(endpoint|project|reference)=[\w.-]+")
"""What providers put into `options`: the server behind their shared address. Settings of a session are the code's."""

_TO_JDBC = {
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
    "sslcert": "sslcert",
    "sslkey": "sslkey",
    "channel_binding": "channelBinding",
    "gssencmode": "gssEncMode",
    "sslnegotiation": "sslNegotiation",
    "connect_timeout": "connectTimeout",
    "application_name": "ApplicationName",
    "options": "options",
}
"""JDBC's names. It knows no other; what `target_session_attrs` demands, psycopg's connection has checked before."""

_JAVA_ROOTS = {"sslfactory": "org.postgresql.ssl.DefaultJavaSSLFactory"}
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""The certificate authorities of Debian, Red Hat, and of Alpine and macOS."""

POOLER = (
    "DATABASE_URL names a connection pooler that gives each transaction another session, and locks need one of their "
    "own: name the server itself (its direct connection), or a pooler in session mode"
)


def parse_parameters(url: str) -> dict[str, str]:
    """Return libpq's parameters of a PostgreSQL URL. An error never repeats the URL, which may contain a password.

    Raises: SettingsError: not a PostgreSQL URL, not exactly one TCP host, a value that is out of range.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise SettingsError(f"DATABASE_URL is not a PostgreSQL URL: expected {_URL_FORM}")
    authority, _, name = url.partition("://")[2].partition("?")[0].partition("/")
    # libpq would take the end of such a password for the host or the database, which messages repeat.
    if authority.count("@") > 1 or "@" in name:
        raise SettingsError("invalid DATABASE_URL: in its password write %40 for @, %2F for / and %3F for ?")
    parts = _parts(_without_pooler_parameter(url))
    host = parts.get("host", "")
    if not host or host.startswith("/") or "," in host:
        raise SettingsError(f"DATABASE_URL must name one TCP host: expected {_URL_FORM}")
    unknown = sorted(set(parts) - {*_PLACE, *_FILES, *_CHOICES, *_NUMBERS, *_TEXTS, *_DROPPED})
    if unknown:
        raise SettingsError(f"unsupported parameters in DATABASE_URL: {', '.join(unknown)}")
    parameters = {"port": "5432", **{name: value for name, value in parts.items() if name not in _DROPPED}}
    if "dbname" not in parameters:
        raise SettingsError(f"DATABASE_URL names no database: expected {_URL_FORM}")
    _check_values(parameters)
    if parameters.get("sslrootcert") == "system" or not _is_loopback(host):
        parameters.setdefault("sslmode", "verify-full")
    if parameters.get("sslrootcert") == "system" and parameters["sslmode"] != "verify-full":
        raise SettingsError("sslrootcert=system in DATABASE_URL needs sslmode=verify-full, or no sslmode")
    return parameters


def libpq_parameters(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters for psycopg and the client programs.

    `sslrootcert=system` becomes the file of the operating system: libpq knows the word only since version 16, and the
    OpenSSL of a Python package looks for the file where its builder had it.
    """
    known = dict(parameters)
    if known.get("sslrootcert") == "system":
        known["sslrootcert"] = _system_roots() or "system"
    return known


def jdbc_parameters(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters beside host, port and database as JDBC spells them."""
    known = libpq_parameters(parameters)
    own = {jdbc: known[name] for name, jdbc in _TO_JDBC.items() if name in known}
    if own.get("sslrootcert") == "system":
        del own["sslrootcert"]
        own |= _JAVA_ROOTS
    return own


def _without_pooler_parameter(url: str) -> str:
    """Remove `pgbouncer=false`, a parameter of other clients that libpq does not know."""
    address, _, query = url.partition("?")
    parts = query.split("&")
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "pgbouncer" and value.lower() not in ("false", "0"):
            raise SettingsError(POOLER)
    kept = "&".join(part for part in parts if part.partition("=")[0] != "pgbouncer")
    return f"{address}?{kept}" if kept else address


def _parts(url: str) -> dict[str, str]:
    try:
        return {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError as error:
        # Only the name of a parameter is repeated, and only if no part of a password can be taken for one.
        unknown = re.search(r'invalid URI query parameter: "([a-z_]{1,30})"', str(error))
        if unknown is not None and "@" not in url.partition("?")[2]:
            raise SettingsError(f"unsupported parameters in DATABASE_URL: {unknown[1]}") from None
        raise SettingsError(f"invalid DATABASE_URL: expected {_URL_FORM}") from None


def _check_values(parameters: Mapping[str, str]) -> None:
    port = parameters["port"]
    if not _is_number(port) or not 0 < int(port) < 65536:
        raise SettingsError(f"invalid port {port!r} in DATABASE_URL: expected {_URL_FORM}")
    for name in _NUMBERS:
        if name in parameters and not _is_number(parameters[name]):
            raise SettingsError(f"invalid {name} {parameters[name]!r} in DATABASE_URL: expected a whole number")
    for name, choices in _CHOICES.items():
        if name in parameters and parameters[name] not in choices:
            raise SettingsError(
                f"invalid {name} {parameters[name]!r} in DATABASE_URL: choose from {', '.join(choices)}"
            )
    if "options" in parameters and _OWN_ENDPOINT.fullmatch(parameters["options"]) is None:
        raise SettingsError("invalid options in DATABASE_URL: only endpoint=NAME is accepted, as Neon has it")


def _is_number(text: str) -> bool:
    return re.fullmatch("[0-9]{1,9}", text) is not None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _system_roots() -> str | None:
    """Return the operating system's file of certificate authorities; None where it has no such file."""
    found = (os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *_BUNDLES)
    return next((path for path in found if path and Path(path).is_file()), None)
