"""Numbered SQL migrations: each applied once, in order, under a lock, in its own transaction."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

import psycopg

from spark_app.errors import SettingsError
from spark_app.storage.postgres.comments import apply_comments
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.retry import retried
from spark_app.storage.postgres.roles import renew_rights

SCHEMA_LOCK = 7_236_409_182
_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True)
class Migration:
    """One numbered SQL file."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """List the migrations that come with this version of the code, in order."""
    folder = resources.files("spark_app.storage.postgres") / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [Migration(int(f.name.split("_")[0]), f.name, f.read_text()) for f in files]


@retried
def migrate(database: Database) -> list[str]:
    """Apply pending migrations; returns their names.

    Raises: SettingsError: an applied migration was altered, or is unknown to this version; the tables are not in the
        schema `public`.
    """
    known = migrations()
    with translated_errors("migrating the schema"), database.connect() as connection:
        if _is_current(connection, known):
            return []
        _check_schema(connection)
        connection.execute("SELECT pg_advisory_lock(%s)", (SCHEMA_LOCK,))
        connection.execute(_LEDGER)
        applied = _applied(connection)
        _check(applied, known)
        pending = [m for m in known if m.version not in applied]
        for migration in pending:
            with connection.transaction():
                connection.execute(migration.sql.encode())
                connection.execute(
                    "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
                    (migration.version, migration.name, migration.checksum),
                )
                # With the last one, when all tables exist that are commented and that the roles get rights on.
                if migration is pending[-1]:
                    apply_comments(connection)
                    renew_rights(connection)
        return [m.name for m in pending]


@retried
def has_tables(database: Database) -> bool:
    """Say whether any migration was ever applied."""
    with translated_errors("reading the schema"), database.connect() as connection:
        return _has_ledger(connection)


def _has_ledger(connection: psycopg.Connection) -> bool:
    row = connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL").fetchone()
    return row is not None and bool(row[0])


def _check_schema(connection: psycopg.Connection) -> None:
    """Make sure that no second set of tables is made: earlier versions used the first schema of the search path."""
    found = connection.execute(
        "SELECT schemaname FROM pg_tables WHERE tablename = 'logs_pipeline_run' AND schemaname <> 'public'"
        " AND to_regclass('public.logs_pipeline_run') IS NULL"
    ).fetchone()
    if found is not None:
        raise SettingsError(
            f"the tables of this database are in the schema {found[0]}: "
            "move each to public (ALTER TABLE ... SET SCHEMA public), or use another database"
        )


def _is_current(connection: psycopg.Connection, known: list[Migration]) -> bool:
    """Say whether nothing is pending.

    Raises: SettingsError: it is a database of other code; a user who may not migrate it has to know that, too.
    """
    if not _has_ledger(connection):
        return False
    applied = _applied(connection)
    _check(applied, known)
    return len(applied) == len(known)


def _applied(connection: psycopg.Connection) -> dict[int, str]:
    return dict(connection.execute("SELECT version, checksum FROM schema_migrations").fetchall())


def _check(applied: dict[int, str], known: list[Migration]) -> None:
    by_version = {m.version: m for m in known}
    for version, checksum in sorted(applied.items()):
        if version not in by_version:
            raise SettingsError(f"unknown migration {version} in the database: use a newer version of the code")
        if by_version[version].checksum != checksum:
            raise SettingsError(
                f"migration {by_version[version].name} was altered after it was applied: "
                f"restore the file and add a new one instead"
            )
