"""Postgres: which one is used, how it is reached by psycopg and by JDBC, and its errors in our words."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import psycopg
from psycopg import conninfo

from spark_app.errors import ServiceUnavailableError, SettingsError, SparkAppError
from spark_app.settings import DatabaseSettings, app_home
from spark_app.storage.embedded import EmbeddedPostgres

_PLACE = ("host", "port", "dbname", "user", "password")
_JDBC_PARAMETERS = ("sslmode", "sslrootcert", "sslcert", "sslkey")
_PSYCOPG_PARAMETERS = ("connect_timeout", "application_name")
_URL_FORM = "postgresql://user@host:port/database?sslmode=verify-full"


@dataclass(frozen=True)
class Database:
    """One Postgres database; never shows its password."""

    parameters: Mapping[str, str]
    password: str | None = field(default=None, repr=False)

    def connect(self) -> psycopg.Connection:
        """Open a connection in autocommit mode.

        Raises: ServiceUnavailableError: nobody answers, or the server refuses us.
        """
        known = {"connect_timeout": "10", "application_name": "spark_app", **self.parameters}
        try:
            return psycopg.connect(conninfo.make_conninfo(**known), password=self.password, autocommit=True)
        except psycopg.OperationalError as error:
            raise ServiceUnavailableError(f"cannot reach PostgreSQL at {self.place}: {_first_line(error)}") from error

    def with_credentials(self) -> Database:
        """The same database with the user and password that libpq finds on this machine, for use on others.

        Raises: ServiceUnavailableError.
        """
        if "user" in self.parameters and self.password is not None:
            return self
        with self.connect() as connection:
            return Database({**self.parameters, "user": connection.info.user}, connection.info.password)

    @property
    def place(self) -> str:
        """Host, port and database, for messages."""
        return f"{self.parameters['host']}:{self.parameters['port']}/{self.parameters['dbname']}"

    def jdbc_options(self) -> dict[str, str]:
        """Options for Spark's JDBC reader and writer; Spark redacts the password in its own logs."""
        with self.connect() as connection:
            user, password = connection.info.user, connection.info.password
        known = {name: self.parameters[name] for name in _JDBC_PARAMETERS if name in self.parameters}
        query = urlencode({"reWriteBatchedInserts": "true", "ApplicationName": "spark_app", **known})
        host = f"[{self.parameters['host']}]" if ":" in self.parameters["host"] else self.parameters["host"]
        url = f"jdbc:postgresql://{host}:{self.parameters['port']}/{self.parameters['dbname']}?{query}"
        return {"url": url, "user": user, "password": password, "driver": "org.postgresql.Driver"}


@contextlib.contextmanager
def open_database(settings: DatabaseSettings) -> Iterator[Database]:
    """Yield the database that `settings` name, or the embedded one, which runs as long as the block.

    Raises: SettingsError: a malformed URL. ServiceUnavailableError: the embedded server does not start.
    """
    if settings.url is None:
        with embedded_server().lease() as url:
            yield parse_url(url)
    else:
        password = settings.password.get_secret_value() if settings.password else None
        yield parse_url(settings.url.get_secret_value(), password=password)


def administrator_of(settings: DatabaseSettings, database: Database) -> Database:
    """Return the database as the user whom DATABASE_ADMIN_URL names, else as it is.

    Raises: SettingsError: a malformed URL.
    """
    return parse_url(settings.admin_url.get_secret_value()) if settings.admin_url else database


def embedded_server() -> EmbeddedPostgres:
    """The embedded server of this installation, under SPARK_APP_HOME."""
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
        raise ServiceUnavailableError(f"PostgreSQL failed while {doing}: {_first_line(error)}") from error
    except psycopg.Error as error:
        raise SparkAppError(f"PostgreSQL refused {doing}: {_first_line(error)}") from error


def _first_line(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error).strip().splitlines()[0]).strip()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
