"""Where the pipeline's own files are: beside the package in a checkout, inside it where pip installed it.

In both places there are `jobs`, `conf` and some of `scripts`; setup.py says which files come along.
"""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "installed"

IS_INSTALLED = _INSTALLED.is_dir()
PROJECT_ROOT = _INSTALLED if IS_INSTALLED else _PACKAGE.parent

LAUNCHER = "spark_jobs_launcher.sh" if IS_INSTALLED else "./spark_jobs_launcher.sh"
"""How a user calls the launcher: pip puts it on PATH."""


def default_home() -> Path:
    """The folder for everything that the pipeline keeps where SPARK_APP_HOME names none; as in the launcher."""
    if not IS_INSTALLED:
        return PROJECT_ROOT / "var"
    # What pip installed goes when pip says so; what was collected must not go with it.
    shared = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(shared) / "spark_app"
