"""Every table and column has its comment in the database, and docs/DATA_DICTIONARY.md says the same."""

from __future__ import annotations

from pathlib import Path

from spark_app.storage.postgres.comments import dictionary_page
from spark_app.storage.postgres.database import Database

PAGE = Path(__file__).resolve().parents[3] / "docs" / "DATA_DICTIONARY.md"


def comments_of(database: Database) -> dict[tuple[str, str], str | None]:
    """Table and column ('' of the table itself) -> comment."""
    columns = (
        "SELECT relname, attname, col_description(relation.oid, attnum) FROM pg_class AS relation"
        " JOIN pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped"
    )
    tables = "SELECT relname, '', obj_description(relation.oid, 'pg_class') FROM pg_class AS relation"
    ours = "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')"
    with database.connect() as connection:
        rows = connection.execute(f"{columns} {ours} UNION ALL {tables} {ours}".encode()).fetchall()
    return {(table, column): text for table, column, text in rows}


def test_every_table_and_column_of_a_migrated_database_has_a_comment(database: Database) -> None:
    comments = comments_of(database)
    assert len(comments) > 200
    assert sorted(place for place, text in comments.items() if not text) == []


def test_the_page_names_each_column_once_with_its_comment(database: Database) -> None:
    comments = comments_of(database)
    told: dict[tuple[str, str], str] = {}
    for section in PAGE.read_text().split("\n## ")[1:]:
        table, text, rows = section.strip().split("\n\n")
        told[table, ""] = text
        for row in rows.splitlines()[2:]:
            column, meaning = row.strip("| ").split("` | ")
            told[table, column.strip("`")] = meaning.replace("\\|", "|")
    assert told == comments


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == dictionary_page(), "renew docs/DATA_DICTIONARY.md with: make docs"
