"""Postgres: which one is used, how it is reached by psycopg and by JDBC, and its errors in our words."""

from __future__ import annotations

import contextlib
import ipaddress
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import psycopg
from psycopg import conninfo

from spark_app.config.settings import DatabaseSettings, app_home
from spark_app.errors import PassingFailureError, ServiceUnavailableError, SettingsError, SparkAppError
from spark_app.storage.postgres.retry import BoundedConnection, Patience, is_passing, retried

if TYPE_CHECKING:
    from spark_app.storage.postgres.embedded.server import EmbeddedPostgres

_PLACE = ("host", "port", "dbname", "user", "password")
_JDBC_PARAMETERS = ("sslmode", "sslrootcert", "sslcert", "sslkey")
_PSYCOPG_PARAMETERS = ("connect_timeout", "application_name")
# Where the network is gone both sides would wait for hours; idle locks are asked after half a minute.
_CONNECTION = {
    "application_name": "spark_app",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
_JDBC_CONNECTION = {
    "ApplicationName": "spark_app",
    "connectTimeout": "10",
    "reWriteBatchedInserts": "true",
    "tcpKeepAlive": "true",
}
_AT_ONCE = Patience(retry_seconds=0)
_URL_FORM = "postgresql://user@host:port/database?sslmode=verify-full"


@dataclass(frozen=True)
class Database:
    """One Postgres database, and how long it is waited for; never shows its password."""

    parameters: Mapping[str, str]
    password: str | None = field(default=None, repr=False)
    patience: Patience = field(default_factory=Patience)

    def connect(self) -> psycopg.Connection:
        """Open a connection in autocommit mode.

        Raises: ServiceUnavailableError: the server refuses us. PassingFailureError: nobody answers, or not now.
        """
        known = conninfo.make_conninfo(**{**_CONNECTION, **self.parameters})
        try:
            connection = BoundedConnection.connect(known, password=self.password, autocommit=True)
        except psycopg.OperationalError as error:
            reason = _first_line(error)
            raise _unavailable(f"cannot reach PostgreSQL at {self.place}: {reason}{_advice(reason)}", error) from error
        connection.answer_seconds = self.patience.answer_seconds
        return connection

    @retried
    def connect_patiently(self) -> psycopg.Connection:
        """Open a connection as `connect` does, and try again where that is worth it."""
        return self.connect()

    @retried
    def with_credentials(self) -> Database:
        """The same database with the user and password that libpq finds on this machine, for use on others.

        Raises: ServiceUnavailableError.
        """
        if "user" in self.parameters and self.password is not None:
            return self
        with self.connect() as connection:
            found = {**self.parameters, "user": connection.info.user}
            return replace(self, parameters=found, password=connection.info.password)

    @property
    def place(self) -> str:
        """Host, port and database, for messages."""
        return f"{self.parameters['host']}:{self.parameters['port']}/{self.parameters['dbname']}"

    def jdbc_options(self) -> dict[str, str]:
        """Options for Spark's JDBC reader and writer; Spark redacts the password in its own logs."""
        with self.connect() as connection:
            user, password = connection.info.user, connection.info.password
        known = {name: self.parameters[name] for name in _JDBC_PARAMETERS if name in self.parameters}
        query = urlencode({**_JDBC_CONNECTION, "socketTimeout": math.ceil(self.patience.answer_seconds), **known})
        host = f"[{self.parameters['host']}]" if ":" in self.parameters["host"] else self.parameters["host"]
        url = f"jdbc:postgresql://{host}:{self.parameters['port']}/{quote(self.parameters['dbname'], safe='')}?{query}"
        return {"url": url, "user": user, "password": password, "driver": "org.postgresql.Driver"}


@contextlib.contextmanager
def open_database(settings: DatabaseSettings, patience: Patience = _AT_ONCE) -> Iterator[Database]:
    """Yield the database that `settings` name, or the embedded one, which runs as long as the block.

    Raises: SettingsError: a malformed URL. ServiceUnavailableError: the embedded server does not start.
    """
    if settings.url is None:
        with embedded_server().lease() as url:
            yield replace(parse_url(url), patience=patience)
    else:
        password = settings.password.get_secret_value() if settings.password else None
        database = parse_url(settings.url.get_secret_value(), password=password)
        yield replace(database, patience=patience)


def administrator_of(settings: DatabaseSettings, database: Database) -> Database:
    """Return the database as the user whom DATABASE_ADMIN_URL names, else as it is.

    Raises: SettingsError: a malformed URL.
    """
    if settings.admin_url is None:
        return database
    return replace(parse_url(settings.admin_url.get_secret_value()), patience=database.patience)


def embedded_server() -> EmbeddedPostgres:
    """The embedded server of this installation, under SPARK_APP_HOME."""
    # Not to be had on Windows, where a database of one's own does without it.
    from spark_app.storage.postgres.embedded.server import EmbeddedPostgres

    return EmbeddedPostgres(app_home() / "postgres")


def parse_url(url: str, *, password: str | None = None) -> Database:
    """Read a PostgreSQL URL; the text of an error never repeats it, for it may hold a password.

    TLS is verified in full unless the URL says otherwise or the host is loopback. `password` overrides the URL's.

    Raises: SettingsError: it is no URL of PostgreSQL, or names no single TCP host.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise SettingsError(f"DATABASE_URL is no PostgreSQL URL; it looks like {_URL_FORM}")
    try:
        parts = {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError:
        raise SettingsError(f"DATABASE_URL cannot be read; it looks like {_URL_FORM}") from None
    host = parts.get("host", "")
    if not host or host.startswith("/") or "," in host:
        raise SettingsError(f"DATABASE_URL must name one TCP host, as in {_URL_FORM}")
    unknown = sorted(set(parts) - {*_PLACE, *_JDBC_PARAMETERS, *_PSYCOPG_PARAMETERS})
    if unknown:
        raise SettingsError(f"DATABASE_URL: {', '.join(unknown)} cannot be used here")
    own_password = parts.pop("password", None)
    parameters = {"port": "5432", **parts}
    if "dbname" not in parameters:
        raise SettingsError(f"DATABASE_URL names no database; it looks like {_URL_FORM}")
    if not parameters["port"].isdigit() or not 0 < int(parameters["port"]) < 65536:
        raise SettingsError(f"DATABASE_URL: {parameters['port']!r} is no port; it looks like {_URL_FORM}")
    if not _is_loopback(host):
        parameters.setdefault("sslmode", "verify-full")
    return Database(parameters, password or own_password)


@contextlib.contextmanager
def translated_errors(doing: str) -> Iterator[None]:
    """Turn psycopg's errors into ours; `doing` completes "PostgreSQL failed while ..."."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise _unavailable(f"PostgreSQL failed while {doing}: {_first_line(error)}", error) from error
    except psycopg.Error as error:
        raise SparkAppError(f"PostgreSQL refused {doing}: {_first_line(error)}") from error


def _unavailable(message: str, error: psycopg.Error) -> ServiceUnavailableError:
    return (PassingFailureError if is_passing(error.sqlstate, str(error)) else ServiceUnavailableError)(message)


def _advice(reason: str) -> str:
    """What to do about a server that is not the one it should be."""
    if "certificate verify failed" in reason:
        return "; sslrootcert in DATABASE_URL names the file of its certificate authority"
    if "does not support SSL" in reason:
        return "; sslmode=disable in DATABASE_URL allows plain text, password included"
    return ""


def _first_line(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error).strip().splitlines()[0]).strip()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
