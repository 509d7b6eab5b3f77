"""The paths of an installation: `jobs`, `conf` and `scripts` are next to the package in a checkout, inside it after
`pip install` (setup.py lists the files).
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
"""The command of the launcher; pip installs it on PATH."""

HOME_VARIABLE = "SPARK_APP_HOME"
"""The environment variable of `app_home`."""


def collecting_command(job: str, origin: str | None) -> str:
    """The command by which a job collects data of this origin; files of the user's own are imported instead."""
    if origin == "files":
        return f"{LAUNCHER} import_files"
    return f"{LAUNCHER} {job}{source_option(origin)}"


def source_option(origin: str | None) -> str:
    """The `--source` of data that is not real, with a space before it."""
    return "" if origin in (None, "real") else f" --source {origin}"


_PACKED = (".py", ".sql", ".typed", ".toml", ".jinja", ".css")
_FIRST_MOMENT = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can store."""


def app_home() -> Path:
    """The folder of everything that the pipeline stores, by the same rule as in the launcher.

    It is SPARK_APP_HOME. Where that is not set, it is `var` in a checkout, and `spark_app` in the folder of the user's
    data after `pip install`.
    """
    return Path(os.environ.get(HOME_VARIABLE) or _default_home()).absolute()


def _default_home() -> Path:
    if not IS_INSTALLED:
        return PROJECT_ROOT / "var"
    # Outside the package: `pip uninstall` must not remove the data.
    shared = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(shared) / "spark_app"


def write_package(target: Path) -> Path:
    """Write the package as a .zip that Spark's workers import; return the file.

    The same sources give the same bytes.
    """
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(file for file in _PACKAGE.rglob("*") if file.suffix in _PACKED):
            # Not compressed: versions of zlib differ in their output.
            entry = zipfile.ZipInfo(file.relative_to(_PACKAGE.parent).as_posix(), date_time=_FIRST_MOMENT)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())
    return target
