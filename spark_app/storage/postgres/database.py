"""The Postgres database: its URL, connections by psycopg and JDBC, and psycopg's errors as the pipeline's own."""

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
from spark_app.storage.postgres.retry import BoundedConnection, RetryPolicy, is_passing, retried

if TYPE_CHECKING:
    from spark_app.storage.postgres.embedded.server import EmbeddedPostgres

_PLACE = ("host", "port", "dbname", "user", "password")
_JDBC_PARAMETERS = ("sslmode", "sslrootcert", "sslcert", "sslkey")
_PSYCOPG_PARAMETERS = ("connect_timeout", "application_name")
# Without these both sides would wait for hours after the network is gone. Locks are on idle connections: keepalives.
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
_NO_RETRIES = RetryPolicy(retry_seconds=0)
_URL_FORM = "postgresql://user@host:port/database?sslmode=verify-full"


@dataclass(frozen=True)
class Database:
    """One Postgres database and its retry policy; its `repr` has no password."""

    parameters: Mapping[str, str]
    password: str | None = field(default=None, repr=False)
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)

    def connect(self) -> psycopg.Connection:
        """Open a connection in autocommit mode.

        Raises: ServiceUnavailableError: the server rejects the connection. PassingFailureError: it does not answer.
        """
        known = conninfo.make_conninfo(**{**_CONNECTION, **self.parameters})
        try:
            connection = BoundedConnection.connect(known, password=self.password, autocommit=True)
        except psycopg.OperationalError as error:
            reason = _first_line(error)
            raise _unavailable(f"cannot reach PostgreSQL at {self.place}: {reason}{_advice(reason)}", error) from error
        connection.answer_seconds = self.retry_policy.answer_seconds
        return connection

    @retried
    def connect_with_retries(self) -> psycopg.Connection:
        """Open a connection as `connect` does, with retries."""
        return self.connect()

    @retried
    def with_credentials(self) -> Database:
        """Add the user and password that libpq finds on this machine, for use on others.

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
        query = urlencode({**_JDBC_CONNECTION, "socketTimeout": math.ceil(self.retry_policy.answer_seconds), **known})
        host = f"[{self.parameters['host']}]" if ":" in self.parameters["host"] else self.parameters["host"]
        url = f"jdbc:postgresql://{host}:{self.parameters['port']}/{quote(self.parameters['dbname'], safe='')}?{query}"
        return {"url": url, "user": user, "password": password, "driver": "org.postgresql.Driver"}


@contextlib.contextmanager
def open_database(settings: DatabaseSettings, retry_policy: RetryPolicy = _NO_RETRIES) -> Iterator[Database]:
    """Yield the database that `settings` name, or else the embedded one, running for the duration of the block.

    Raises: SettingsError: a malformed URL. ServiceUnavailableError: the embedded server does not start.
    """
    if settings.url is None:
        with embedded_server().lease() as url:
            yield replace(parse_url(url), retry_policy=retry_policy)
    else:
        password = settings.password.get_secret_value() if settings.password else None
        database = parse_url(settings.url.get_secret_value(), password=password)
        yield replace(database, retry_policy=retry_policy)


def administrator_of(settings: DatabaseSettings, database: Database) -> Database:
    """Return the database as the user in DATABASE_ADMIN_URL; without that setting, as given.

    Raises: SettingsError: a malformed URL.
    """
    if settings.admin_url is None:
        return database
    return replace(parse_url(settings.admin_url.get_secret_value()), retry_policy=database.retry_policy)


def embedded_server() -> EmbeddedPostgres:
    """Return the embedded server of this installation, under SPARK_APP_HOME."""
    # Not available on Windows, where DATABASE_URL names another server.
    from spark_app.storage.postgres.embedded.server import EmbeddedPostgres

    return EmbeddedPostgres(app_home() / "postgres")


def parse_url(url: str, *, password: str | None = None) -> Database:
    """Parse a PostgreSQL URL. An error never repeats the URL, which may contain a password.

    TLS is verified in full unless the URL says otherwise or the host is loopback. `password` overrides the URL's.

    Raises: SettingsError: not a PostgreSQL URL, or not exactly one TCP host.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise SettingsError(f"DATABASE_URL is not a PostgreSQL URL: expected {_URL_FORM}")
    try:
        parts = {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError:
        raise SettingsError(f"invalid DATABASE_URL: expected {_URL_FORM}") from None
    host = parts.get("host", "")
    if not host or host.startswith("/") or "," in host:
        raise SettingsError(f"DATABASE_URL must name one TCP host: expected {_URL_FORM}")
    unknown = sorted(set(parts) - {*_PLACE, *_JDBC_PARAMETERS, *_PSYCOPG_PARAMETERS})
    if unknown:
        raise SettingsError(f"unsupported parameters in DATABASE_URL: {', '.join(unknown)}")
    own_password = parts.pop("password", None)
    parameters = {"port": "5432", **parts}
    if "dbname" not in parameters:
        raise SettingsError(f"DATABASE_URL names no database: expected {_URL_FORM}")
    if not parameters["port"].isdigit() or not 0 < int(parameters["port"]) < 65536:
        raise SettingsError(f"invalid port {parameters['port']!r} in DATABASE_URL: expected {_URL_FORM}")
    if not _is_loopback(host):
        parameters.setdefault("sslmode", "verify-full")
    return Database(parameters, password or own_password)


@contextlib.contextmanager
def translated_errors(doing: str) -> Iterator[None]:
    """Translate psycopg's errors; `doing` completes "PostgreSQL failed while ...".

    Raises: PassingFailureError, ServiceUnavailableError: the server or its disk. SparkAppError: a missing right, a row
    that breaks a rule, or a defect.
    """
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise _unavailable(f"PostgreSQL failed while {doing}: {_first_line(error)}", error) from error
    except psycopg.Error as error:
        raise SparkAppError(f"PostgreSQL rejected {doing}: {_first_line(error)}") from error


def _unavailable(message: str, error: psycopg.Error) -> ServiceUnavailableError:
    return (PassingFailureError if is_passing(error.sqlstate, str(error)) else ServiceUnavailableError)(message)


def _advice(reason: str) -> str:
    """Say which parameter of DATABASE_URL to set about TLS, if any."""
    if "certificate verify failed" in reason:
        return ": set sslrootcert in DATABASE_URL to the file of its certificate authority"
    if "does not support SSL" in reason:
        return ": sslmode=disable in DATABASE_URL allows plain text, password included"
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
