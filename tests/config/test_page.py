"""docs/CONFIGURATION.md and conf/pipeline.toml are what the code says; every variable that is read is on the page."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from spark_app.config.page import settings_file, settings_page
from spark_app.config.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "CONFIGURATION.md"
FILE = ROOT / "conf" / "pipeline.toml"
NAMED = re.compile(r'(?:environ(?:\.get\(|\[)|secret\w*\(|_VARIABLE = )\s*"([A-Z][A-Z_]+)"')


def test_page_and_file_are_what_the_code_says() -> None:
    options = runpy.run_path(str(ROOT / "scripts" / "configuration_page.py"))["options"]()
    assert PAGE.read_text() == settings_page(options), "renew docs/CONFIGURATION.md with: make docs"
    assert FILE.read_text() == settings_file(), "renew conf/pipeline.toml with: make docs"


def test_each_setting_has_a_line_with_its_kind_default_meaning_and_variable() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    variables = {
        f"SPARK_APP_{section}__{key}".upper() for section, values in Settings() for key in type(values).model_fields
    }
    by_variable = {cells[-1].split("`")[1]: cells for cells in rows if len(cells) == 5}
    assert set(by_variable) == variables
    assert [cells for cells in by_variable.values() if not all(cells) or "None" in cells] == []


def test_the_page_shows_ranges_units_and_the_command_line() -> None:
    text = PAGE.read_text()
    assert "| `delay_seconds` | number, 0 to 3600 | `5.0` | pause between two requests" in text
    assert "a busy machine sends some requests late | `SPARK_APP_FETCH__DELAY_SECONDS`; `--delay` |" in text
    assert '| `price_history_days` | whole number, 60 to 36500 or "keep" | `730` |' in text
    assert '| `run_log_days` | whole number, 1 to 36500 or "keep" | `"keep"` |' in text
    assert "| `max_weight` | number, above 0, at most 1 | none | largest weight" in text
    assert "a fraction with at most 8 decimals" in text
    assert "| `basis_sessions` | 5 or 10 or 20 | `20` |" in text


def test_the_file_explains_each_setting_above_it_and_comments_out_one_without_a_default() -> None:
    lines = FILE.read_text().splitlines()
    settings = [number for number, line in enumerate(lines) if re.match(r"(# )?\w+ = ", line)]
    assert len(settings) == sum(len(type(section).model_fields) for _, section in Settings())
    assert [lines[number] for number in settings if not re.match(r"# \w", lines[number - 1])] == []
    assert "# max_weight = 0.25" in lines


def test_an_option_of_a_setting_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match=r"fetch\.pause"):
        settings_page({"fetch.pause": "--pause"})


def test_every_variable_that_the_code_reads_is_on_the_page() -> None:
    read = {name for file in (ROOT / "spark_app").rglob("*.py") for name in NAMED.findall(file.read_text())}
    assert {"DATABASE_URL", "DATABASE_ADMIN_URL", "SPARK_APP_HOME", "XDG_DATA_HOME"} <= read
    known = set(re.findall(r"`([A-Z][A-Z_]+)`", PAGE.read_text()))
    assert read - known == set(), "name these in spark_app/config/page.py"
