"""The Postgres database: its URL, connections by psycopg and JDBC, and psycopg's errors as the pipeline's own."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import psycopg
from psycopg import conninfo

from spark_app.config.installation import app_home
from spark_app.errors import PassingFailureError, ServiceUnavailableError, SettingsError, SparkAppError
from spark_app.storage.postgres.environment import ignore_variables
from spark_app.storage.postgres.remedies import is_standby, reason_of
from spark_app.storage.postgres.retry import BoundedConnection, RetryPolicy, is_passing, retried
from spark_app.storage.postgres.session import as_options, has_own_process, open_session, session_settings
from spark_app.storage.postgres.url import jdbc_parameters, libpq_parameters, parse_parameters

if TYPE_CHECKING:
    from spark_app.config.settings import DatabaseSettings
    from spark_app.storage.postgres.embedded.server import EmbeddedPostgres

# Without these both sides would wait for hours after the network is gone. Locks are on idle connections: keepalives.
_CONNECTION = {
    "application_name": "spark_app",
    "connect_timeout": "10",
    "client_encoding": "UTF8",
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
# A refused connection has no SQLSTATE, only text.
_WRONG_PASSWORD = ("password authentication failed", "no password supplied")


@dataclass(frozen=True)
class Database:
    """One Postgres database and its retry policy; its `repr` has no password."""

    parameters: Mapping[str, str]
    password: str | None = field(default=None, repr=False)
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)

    def connect(self) -> psycopg.Connection:
        """Open a connection in autocommit mode, with the settings of `session.py`.

        Raises: SettingsError: a wrong password, a database that is not in UTF8, a pooler in transaction mode.
            ServiceUnavailableError: the server rejects the connection. PassingFailureError: it does not answer.
        """
        connection = self._connect()
        try:
            with translated_errors("opening a session"):
                open_session(connection, self._settings(connection), self._connect)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> BoundedConnection:
        ignore_variables()
        known = conninfo.make_conninfo(**{**_CONNECTION, **libpq_parameters(self.parameters)})
        try:
            connection = BoundedConnection.connect(known, password=self.password, autocommit=True)
        except psycopg.OperationalError as error:
            reason = reason_of(error)
            sentence = f"cannot reach PostgreSQL at {self.place}: {reason}{_advice(reason)}"
            if any(words in reason for words in _WRONG_PASSWORD):
                raise SettingsError(sentence) from error
            raise _unavailable(sentence, error) from error
        connection.answer_seconds = self.retry_policy.answer_seconds
        return connection

    def _settings(self, connection: psycopg.Connection) -> dict[str, str]:
        return session_settings(connection, answer_seconds=self.retry_policy.answer_seconds)

    def _options(self, connection: psycopg.Connection) -> dict[str, str]:
        """The settings of a session as the parameter `options`; none where a proxy refuses or ignores them."""
        if not has_own_process(connection):
            return {}
        own = self.parameters.get("options", "")
        return {"options": f"{own} {as_options(self._settings(connection))}".strip()}

    @retried
    def client_connection(self) -> ClientConnection:
        """Return what PostgreSQL's client programs need to open the same session.

        Raises: SettingsError, ServiceUnavailableError: as `connect`.
        """
        with self.connect() as connection:
            known = {**_CONNECTION, **libpq_parameters(self.parameters), **self._options(connection)}
            return ClientConnection(
                conninfo.make_conninfo(**known),
                uses_tls=connection.pgconn.ssl_in_use,
                server_version=connection.info.server_version // 10000,
            )

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
            known = jdbc_parameters({**self.parameters, **self._options(connection)})
        query = urlencode({**_JDBC_CONNECTION, "socketTimeout": math.ceil(self.retry_policy.answer_seconds), **known})
        host = f"[{self.parameters['host']}]" if ":" in self.parameters["host"] else self.parameters["host"]
        url = f"jdbc:postgresql://{host}:{self.parameters['port']}/{quote(self.parameters['dbname'], safe='')}?{query}"
        return {"url": url, "user": user, "password": password, "driver": "org.postgresql.Driver"}


@dataclass(frozen=True)
class ClientConnection:
    """How a client program reaches the database: its connection string without the password, and what it must know.

    `uses_tls`: the server is reached over TLS. `server_version`: its major version.
    """

    conninfo: str
    uses_tls: bool
    server_version: int


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

    Raises: SettingsError: a malformed URL, or one of another database. ServiceUnavailableError.
    """
    if settings.admin_url is None:
        return database
    if settings.url is None:
        raise SettingsError("DATABASE_ADMIN_URL is set without DATABASE_URL: name the same database in both")
    admin = replace(parse_url(settings.admin_url.get_secret_value()), retry_policy=database.retry_policy)
    if _identity(admin) != _identity(database):
        raise SettingsError(
            f"DATABASE_ADMIN_URL leads to another database ({admin.place}) than DATABASE_URL ({database.place}):"
            " name the same database in both"
        )
    return admin


@retried
def _identity(database: Database) -> Sequence[object]:
    """Tell a database from all others, also where a proxy or a pooler has the place of its server."""
    with translated_errors("identifying the database"), database.connect() as connection:
        return connection.execute("SELECT current_database(), pg_postmaster_start_time()").fetchall()[0]


def embedded_server() -> EmbeddedPostgres:
    """Return the embedded server of this installation, under SPARK_APP_HOME."""
    ignore_variables()  # Its own programs read them, too.
    # Not available on Windows, where DATABASE_URL names another server.
    from spark_app.storage.postgres.embedded.server import EmbeddedPostgres

    return EmbeddedPostgres(app_home() / "postgres")


def parse_url(url: str, *, password: str | None = None) -> Database:
    """Parse a PostgreSQL URL. An error never repeats the URL, which may contain a password.

    TLS is verified in full unless the URL says otherwise or the host is loopback. `password` overrides the URL's.

    Raises: SettingsError: not a PostgreSQL URL, not exactly one TCP host, a value that is out of range.
    """
    parameters = parse_parameters(url)
    own_password = parameters.pop("password", None)
    return Database(parameters, password or own_password)


@contextlib.contextmanager
def translated_errors(doing: str) -> Iterator[None]:
    """Translate psycopg's errors; `doing` completes "PostgreSQL failed while ...".

    Raises: PassingFailureError, ServiceUnavailableError: the server or its disk, or it is a standby. SettingsError: the
    session is read-only. SparkAppError: a missing right, a row that breaks a rule, a changed table, or a defect.
    """
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise _unavailable(f"PostgreSQL failed while {doing}: {reason_of(error)}", error) from error
    except psycopg.errors.ReadOnlySqlTransaction as error:
        if is_standby(error):
            raise ServiceUnavailableError(f"PostgreSQL failed while {doing}: {reason_of(error)}") from error
        raise SettingsError(f"PostgreSQL rejected {doing}: {reason_of(error)}") from error
    except psycopg.Error as error:
        raise SparkAppError(f"PostgreSQL rejected {doing}: {reason_of(error)}") from error


def _unavailable(message: str, error: psycopg.Error) -> ServiceUnavailableError:
    return (PassingFailureError if is_passing(error.sqlstate, str(error)) else ServiceUnavailableError)(message)


def _advice(reason: str) -> str:
    """Say what to do about a connection that the server or libpq refused without an SQLSTATE, if something is known."""
    if "root certificate file" in reason and "does not exist" in reason:
        return ": sslrootcert=system in DATABASE_URL trusts the authorities of this machine's operating system"
    if "certificate verify failed" in reason:
        return ": set sslrootcert in DATABASE_URL to the file of its certificate authority"
    if "too many" in reason or "connection slots" in reason:
        return ": end other sessions, or raise the limit of the server, the database or the role"
    if "does not support SSL" in reason:
        return ": sslmode=disable in DATABASE_URL allows plain text, password included"
    return ""
