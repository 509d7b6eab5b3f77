"""Where the pipeline's own files are: beside the package in a checkout, inside it where pip installed it.

In both places there are `jobs`, `conf` and some of `scripts`; setup.py says which files come along.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "installed"

IS_INSTALLED = _INSTALLED.is_dir()
PROJECT_ROOT = _INSTALLED if IS_INSTALLED else _PACKAGE.parent

LAUNCHER = "spark_jobs_launcher.sh" if IS_INSTALLED else "./spark_jobs_launcher.sh"
"""How a user calls the launcher: pip puts it on PATH."""

_PACKED = (".py", ".sql", ".typed")
_FIRST_MOMENT = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip can name."""


def default_home() -> Path:
    """The folder for everything that the pipeline keeps where SPARK_APP_HOME names none; as in the launcher."""
    if not IS_INSTALLED:
        return PROJECT_ROOT / "var"
    # What pip installed goes when pip says so; what was collected must not go with it.
    shared = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(shared) / "spark_app"


def write_package(target: Path) -> Path:
    """Write the package, as it is now, as a .zip that Spark's workers import; returns the file.

    It depends on the sources alone: written again, byte for byte the same.
    """
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(file for file in _PACKAGE.rglob("*") if file.suffix in _PACKED):
            # Not compressed: compressors of different versions write different bytes.
            entry = zipfile.ZipInfo(file.relative_to(_PACKAGE.parent).as_posix(), date_time=_FIRST_MOMENT)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())
    return target
