"""Build dist/spark_app-VERSION-py3-none-any.whl, and dist/spark_app-VERSION.zip for `spark-submit --py-files`.

Both depend on the sources alone: built again, byte for byte the same. `package.py [FOLDER]` names another place.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = (".py", ".sql", ".typed")
# The first moment that a zip can name.
EPOCH = (1980, 1, 1, 0, 0, 0)
EPOCH_SECONDS = "315532800"


def write_zip(folder: Path, version: str) -> Path:
    """Write the package as Spark's workers import it; they find its SQL files in it, too."""
    files = sorted(file for file in (ROOT / "spark_app").rglob("*") if file.suffix in SUFFIXES)
    target = folder / f"spark_app-{version}.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for file in files:
            # Not compressed: compressors of different versions write different bytes.
            entry = zipfile.ZipInfo(file.relative_to(ROOT).as_posix(), date_time=EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())
    return target


def build_wheel(folder: Path) -> Path:
    """Let pip build the wheel, with the setuptools that is here already; in a copy, so that nothing is left behind."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "spark_app"
        for name in ("spark_app", "jobs", "conf", "scripts", "requirements"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("setup.py", "pyproject.toml", "spark_jobs_launcher.sh"):
            shutil.copy(ROOT / name, copy)
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
        command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", place, copy]
        subprocess.run(command, env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH_SECONDS}, check=True)
        (wheel,) = Path(place).glob("*.whl")
        return Path(shutil.copy(wheel, folder))


def main() -> None:
    """Build both and say where they are."""
    sys.path.insert(0, str(ROOT))
    from spark_app import __version__

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"
    folder.mkdir(parents=True, exist_ok=True)
    print(write_zip(folder, __version__))
    print(build_wheel(folder))


if __name__ == "__main__":
    main()
