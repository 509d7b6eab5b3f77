"""What every table and column means, from `comments.toml`: for the database, and for docs/DATA_DICTIONARY.md."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

import psycopg
from psycopg import sql

_TABLES_AND_VIEWS = """
SELECT relname, relkind = 'v', ARRAY(
    SELECT attname::text FROM pg_attribute WHERE attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
) FROM pg_class AS relation WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')
"""


@dataclass(frozen=True)
class TableComment:
    """The meaning of a table or view, and of its columns in the order of the page."""

    name: str
    text: str
    columns: Mapping[str, str]


def read_comments() -> list[TableComment]:
    """Read the meaning of all tables and views."""
    text = (resources.files("spark_app.storage.postgres") / "comments.toml").read_text()
    found: dict[str, TableComment] = {}
    for name, given in tomllib.loads(text).items():
        known = found[given["like"]].columns if "like" in given else {}
        found[name] = TableComment(name, given["table"], {**known, **given.get("columns", {})})
    return list(found.values())


def apply_comments(connection: psycopg.Connection) -> None:
    """Comment the tables, views and columns that this database has, in the transaction that `connection` is in."""
    found = {name: (is_view, columns) for name, is_view, columns in connection.execute(_TABLES_AND_VIEWS).fetchall()}
    for comment in read_comments():
        if comment.name in found:
            connection.execute(sql.SQL("; ").join(_statements(comment, *found[comment.name])))


def _statements(comment: TableComment, is_view: bool, columns: list[str]) -> Iterator[sql.Composed]:
    kind = sql.SQL("VIEW" if is_view else "TABLE")
    table = sql.Identifier("public", comment.name)
    yield sql.SQL("COMMENT ON {} {} IS {}").format(kind, table, sql.Literal(comment.text))
    for name, text in comment.columns.items():
        if name in columns:
            column = sql.Identifier("public", comment.name, name)
            yield sql.SQL("COMMENT ON COLUMN {} IS {}").format(column, sql.Literal(text))


def dictionary_page() -> str:
    """Write the tables and their columns as Markdown."""
    parts = [
        "# Data dictionary",
        "Made by `make docs` from `spark_app/storage/postgres/comments.toml`; change that.",
        "Every table and view of the schema `public`, and what its columns mean. The database says the\n"
        "same: `\\d+ TABLE` in `psql`. Types follow from the names: [NAMING_CONVENTION.md](NAMING_CONVENTION.md).",
    ]
    for comment in read_comments():
        rows = [f"| `{name}` | {text.replace('|', chr(92) + '|')} |" for name, text in comment.columns.items()]
        parts += [f"## {comment.name}", comment.text, "\n".join(["| column | meaning |", "|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"
