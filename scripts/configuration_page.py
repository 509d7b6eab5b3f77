"""Write docs/CONFIGURATION.md and conf/pipeline.toml from the settings in the code; see spark_app/config/page.py."""

from __future__ import annotations

import argparse
from pathlib import Path

from spark_app.cli.parser import settings_overrides
from spark_app.config.page import settings_file, settings_page

ROOT = Path(__file__).resolve().parents[1]


def options() -> dict[str, str]:
    """section.key -> the option of the command line that sets it."""
    names = ("source", "delay", "max_retries", "rate_limit_sleep")
    spelled = argparse.Namespace(**{name: "--" + name.replace("_", "-") for name in names})
    return {
        f"{section}.{key}": str(text)
        for section, keys in settings_overrides(spelled).items()
        for key, text in keys.items()
    }


if __name__ == "__main__":
    (ROOT / "docs" / "CONFIGURATION.md").write_text(settings_page(options()))
    (ROOT / "conf" / "pipeline.toml").write_text(settings_file())
