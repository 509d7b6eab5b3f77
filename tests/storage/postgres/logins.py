"""Login users in the pipeline's roles, as WORKFLOW.md tells a user to make them."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator

from psycopg import sql

from spark_app.storage.postgres.database import Database


@contextlib.contextmanager
def login_as(database: Database, role: str) -> Iterator[Database]:
    """Yield the database as a login user in the role sees it; the user is gone after the block."""
    user, password = f"test_{secrets.token_hex(4)}", secrets.token_hex(8)
    with database.connect() as connection:
        statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}")
        connection.execute(statement.format(sql.Identifier(user), sql.Literal(password), sql.Identifier(role)))
    yield Database({**database.parameters, "user": user}, password)
    drop_user(database, user)


def drop_user(database: Database, user: str) -> None:
    """Drop a user with all that is his in this database."""
    with database.connect() as connection:
        connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(user)))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(user)))


def url_of(database: Database) -> str:
    """The URL of a database on loopback, password included."""
    place = f"{database.parameters['host']}:{database.parameters['port']}/{database.parameters['dbname']}"
    return f"postgresql://{database.parameters['user']}:{database.password}@{place}?sslmode=disable"
