"""docs/CONFIGURATION.md is what the code and conf/pipeline.toml say, and every variable that is read stands on it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from spark_app.config.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "CONFIGURATION.md"
NAMED = re.compile(r'(?:environ(?:\.get\(|\[)|secret\w*\(|_VARIABLE = )\s*"([A-Z][A-Z_]+)"')


def test_the_page_is_what_the_code_says(tmp_path: Path) -> None:
    program = "import sys, configuration_page; sys.stdout.write(configuration_page.page())"
    command = [sys.executable, "-c", program]
    env = {"PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert PAGE.read_text() == done.stdout, "renew docs/CONFIGURATION.md with: make docs"


def test_each_setting_has_a_line_with_its_kind_default_meaning_and_variable() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    variables = {
        f"SPARK_APP_{section}__{key}".upper() for section, values in Settings() for key in type(values).model_fields
    }
    by_variable = {cells[-1].split("`")[1]: cells for cells in rows if len(cells) == 5}
    assert set(by_variable) == variables
    assert [cells for cells in by_variable.values() if not all(cells)] == []


def test_the_page_shows_ranges_units_and_the_command_line() -> None:
    text = PAGE.read_text()
    assert "| `delay_seconds` | number of seconds, 0 to 3600 | `5.0` |" in text
    assert "`SPARK_APP_FETCH__DELAY_SECONDS`; `--delay` |" in text
    assert '| `price_history_days` | whole number of days, 60 to 36500 or "keep" | `730` |' in text
    assert "| `max_weight` | number, above 0, at most 1, 8 decimals | none |" in text


def test_every_variable_that_the_code_reads_stands_on_the_page() -> None:
    read = {name for file in (ROOT / "spark_app").rglob("*.py") for name in NAMED.findall(file.read_text())}
    assert {"DATABASE_URL", "DATABASE_ADMIN_URL", "SPARK_APP_HOME", "XDG_DATA_HOME"} <= read
    known = set(re.findall(r"`([A-Z][A-Z_]+)`", PAGE.read_text()))
    assert read - known == set(), "name these in scripts/configuration_page.py"
