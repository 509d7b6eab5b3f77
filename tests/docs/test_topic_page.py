"""docs/TOPIC.md names the columns of each table and their kinds, so that a consumer can be written from it alone."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

from pyspark.sql.types import (
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    TimestampType,
)

from spark_app.schemas import SERVED_TABLES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "TOPIC.md").read_text()
KINDS: dict[type[DataType], str] = {
    DateType: "date",
    TimestampType: "time",
    BooleanType: "flag",
    IntegerType: "whole number",
    LongType: "whole number",
    DecimalType: "decimal",
    StringType: "text",
}


def table_under(heading: str) -> list[list[str]]:
    """The cells of the rows of the table that has this heading."""
    rows = PAGE.split(f"{heading}\n")[1].split("\n\n")[0].splitlines()[1:]
    return [row.strip("| ").split(" | ") for row in rows]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def kind_of(column: str) -> str:
    rules = [(kind, rule) for kind, _, columns in table_under("| kind | as | columns |") for rule in quoted(columns)]
    kinds = {kind for kind, rule in rules if fnmatchcase(column, rule)}
    assert len(kinds) < 2, (column, kinds)
    return kinds.pop() if kinds else "text"


def test_every_table_is_there_with_its_key_and_its_other_columns() -> None:
    rows = table_under("| table | key | other columns |")
    told = [(quoted(name)[0], quoted(key), quoted(others)) for name, key, others in rows]
    right = [
        (table.name, list(table.key), [name for name in table.schema.fieldNames() if name not in table.key])
        for table in SERVED_TABLES
    ]
    assert told == right


def test_every_column_is_of_the_kind_that_its_name_says() -> None:
    right = {field.name: KINDS[type(field.dataType)] for table in SERVED_TABLES for field in table.schema}
    assert {name: kind_of(name) for name in right} == right
