"""ARCHITECTURE.md names files, functions and rooms that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text()
STEP = re.compile(r"^\| `(spark_app/[\w/]+\.py)` \| `(\w+)` \|", re.MULTILINE)
RULE_FILE = re.compile(
    r"`((?:cli|backtest|operations|stages|ingestion|pipeline|sources|transforms|storage|spark|config)/[\w/.]+)`"
)
LONGEST_WALK = 16


def defined_in(file: Path) -> set[str]:
    body = ast.parse(file.read_text()).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize(("file", "name"), STEP.findall(PAGE))
def test_each_step_of_a_walk_is_defined_in_its_file(file: str, name: str) -> None:
    assert name in defined_in(ROOT / file)


def test_the_walk_of_a_bar_is_short() -> None:
    walk = PAGE.split("## A bar's day")[1].split("A holding's day")[0]
    files = {file for file, _ in STEP.findall(walk)}
    assert 10 < len(files) <= LONGEST_WALK


def test_every_file_with_a_rule_is_there() -> None:
    named = RULE_FILE.findall(PAGE)
    assert len(named) > 20
    assert [name for name in named if not (ROOT / "spark_app" / name).exists()] == []


def test_every_room_is_on_the_map() -> None:
    rooms = {folder.name for folder in (ROOT / "spark_app").iterdir() if (folder / "__init__.py").is_file()}
    assert set(re.findall(r"^\| `(\w+)/` \|", PAGE, re.MULTILINE)) == rooms
