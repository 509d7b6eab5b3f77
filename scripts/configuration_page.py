"""Write docs/CONFIGURATION.md and conf/pipeline.toml from the settings in the code; see spark_app/config/page.py."""

from __future__ import annotations

from pathlib import Path

from spark_app.cli.jobs import JOBS
from spark_app.config.page import settings_file, settings_page

ROOT = Path(__file__).resolve().parents[1]


def options() -> dict[str, str]:
    """Return the option of the command line that sets a setting, by section.key."""
    return {option.sets: option.flag for job in JOBS.values() for option in job.all_options if option.is_setting}


if __name__ == "__main__":
    (ROOT / "docs" / "CONFIGURATION.md").write_text(settings_page(options()))
    (ROOT / "conf" / "pipeline.toml").write_text(settings_file())
