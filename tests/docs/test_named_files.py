"""The files that the pages name or link to are there, so that a moved one is noticed where it is described."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RELIABILITY = ROOT / "docs" / "RELIABILITY.md"
RECORDS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
LINK = re.compile(r"\]\(([^)#:]+)\)")
PATH = re.compile(r"`([\w./-]+(?:\.py|\.sql|\.conf|\.sh|/))`")


def missing(names: list[str], *, below: Path) -> list[str]:
    return [name for name in names if not (below / name).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_links_of_each_page_lead_somewhere(page: Path) -> None:
    assert missing(LINK.findall(page.read_text()), below=page.parent) == []


def test_the_tests_of_each_promise_are_there() -> None:
    named = PATH.findall(RELIABILITY.read_text().replace("`tests/`", ""))
    assert len(named) > 60
    assert missing(named, below=ROOT / "tests") == []


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_the_files_of_each_decision_are_there(record: Path) -> None:
    named = [name for name in PATH.findall(record.read_text()) if name.startswith(("spark_app/", "conf/", "scripts/"))]
    assert missing(named, below=ROOT) == []


def test_the_index_of_decisions_has_each_record_with_its_number() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    linked = re.findall(r"^\| \[(\d{4})\]\((.+?)\) \|", index, re.MULTILINE)
    assert linked == [(record.name[:4], record.name) for record in RECORDS]
    titles = [record.read_text().splitlines()[0] for record in RECORDS]
    assert [title.split(".")[0] for title in titles] == [f"# {number}" for number in range(1, len(RECORDS) + 1)]


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_each_record_has_context_decision_and_consequences(record: Path) -> None:
    headings = re.findall(r"^## (.+)$", record.read_text(), re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences"]
