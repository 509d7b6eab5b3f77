"""Tables, columns, jobs and settings are named as docs/NAMING_CONVENTION.md says; the rules are read from there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from spark_app.config.settings import Settings
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.migrate import migrations
from tests.declared import STAGES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "NAMING_CONVENTION.md").read_text()
RULES = {
    name: re.compile(rule.replace("\\|", "|"))
    for name, rule in re.findall(r"^\| ([a-z ,]+?) \| `(.+?)` \|", PAGE, re.MULTILINE)
}
ANY_COLUMN = re.compile(r"[a-z]+(_[a-z0-9]+)*")
EXCEPTIONS = set(re.findall(r"`(\w+)`", PAGE.split("Names that break a rule")[1].split("## ")[0]))
BY_TYPE = ("date", "timestamp with time zone", "boolean")
BY_NAME = ("ticker", "price", "percent", "weight", "period", "rank", "rows")


def breaking(names: Iterable[str], *rules: str) -> list[str]:
    return sorted(name for name in names if not any(RULES[rule].fullmatch(name) for rule in rules))


@pytest.fixture
def columns(database: Database) -> list[tuple[str, str, str]]:
    """Table, column and type of everything in the schema that users see."""
    with database.connect() as connection:
        query = (
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
        )
        return connection.execute(query).fetchall()


def test_tables_and_indices_are_named_by_the_rules(database: Database, columns: list[tuple[str, str, str]]) -> None:
    assert breaking({table for table, _, _ in columns}, "table, view", "the list of migrations") == []
    own = "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON oid = indexrelid"
    with database.connect() as connection:
        query = f"{own} WHERE relnamespace = 'public'::regnamespace AND NOT indisunique"
        indices = [name for (name,) in connection.execute(query)]
    assert indices
    assert breaking(indices, "index of its own") == []


def test_a_columns_name_goes_with_its_type(columns: list[tuple[str, str, str]]) -> None:
    assert [column for _, column, _ in columns if not ANY_COLUMN.fullmatch(column)] == []
    for kind in BY_TYPE:
        of_kind = {column for _, column, data_type in columns if data_type == kind} - EXCEPTIONS
        assert breaking(of_kind, kind) == []
        others = {column for _, column, data_type in columns if data_type != kind} - EXCEPTIONS
        assert [column for column in others if RULES[kind].fullmatch(column)] == []


def test_every_rule_of_a_column_and_every_exception_has_an_example(columns: list[tuple[str, str, str]]) -> None:
    names = {column for _, column, _ in columns}
    assert [rule for rule in (*BY_TYPE, *BY_NAME) if not any(RULES[rule].fullmatch(name) for name in names)] == []
    assert names >= EXCEPTIONS
    assert {data_type for _, column, data_type in columns if RULES["percent"].fullmatch(column)} == {"numeric"}


def test_migrations_are_numbered_without_gaps() -> None:
    found = migrations()
    assert [migration.version for migration in found] == list(range(1, len(found) + 1))
    assert breaking((migration.name for migration in found), "migration") == []


def test_packages_and_modules_are_named_by_the_rules() -> None:
    files = list((ROOT / "spark_app").rglob("*.py"))
    assert len(files) > 80
    assert breaking({file.name for file in files}, "module") == []
    assert breaking({file.parent.name for file in files} - {"spark_app"}, "package") == []


def test_jobs_and_stages_are_named_by_the_rules() -> None:
    jobs = {file.stem for file in ROOT.glob("jobs/[a-z]*.py")}
    assert breaking(STAGES, "stage") == []
    assert jobs >= set(STAGES)
    assert breaking(jobs, "job") == []


def test_settings_and_options_are_named_by_the_rules() -> None:
    for section, values in Settings():
        assert breaking([section], "section") == []
        settings = type(values).model_fields
        assert breaking(settings, "setting") == []
        variables = [f"SPARK_APP_{section}__{key}".upper() for key in settings]
        assert breaking(variables, "variable") == []
    help_text = subprocess.run(
        [ROOT / "spark_jobs_launcher.sh", "daily_pipeline", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert breaking(re.findall(r"^  (?:-h, )?(--\S+)", help_text, re.MULTILINE), "option") == []
