"""The database's roles, for migrations, the pipeline, retention and readers; `roles.sql` has their rights."""

from __future__ import annotations

from importlib import resources

import psycopg

from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.retry import retried

ROLES = ("spark_app_owner", "spark_app_pipeline", "spark_app_retention", "spark_app_reader")

_ARE_SET_UP = """
SELECT pg_get_userbyid(relowner) = 'spark_app_owner' FROM pg_class WHERE oid = to_regclass('schema_migrations')
"""


@retried
def set_up_roles(database: Database) -> None:
    """Create missing roles and grant their rights in this database, whose schema must be up to date.

    Raises: ServiceUnavailableError. SparkAppError: the user lacks the right to.
    """
    with translated_errors("setting up the roles"), database.connect() as connection, connection.transaction():
        _apply(connection)


def renew_rights(connection: psycopg.Connection) -> None:
    """Grant the rights on what a migration has created, if the roles are set up in this database."""
    row = connection.execute(_ARE_SET_UP).fetchone()
    if row is not None and row[0]:
        _apply(connection)


def read_roles_script() -> str:
    """Return the statements that grant all rights, for a schema that is up to date."""
    return (resources.files("spark_app.storage.postgres") / "roles.sql").read_text()


def _apply(connection: psycopg.Connection) -> None:
    connection.execute(read_roles_script().encode())
