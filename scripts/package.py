"""Build dist/spark_app-VERSION-py3-none-any.whl, and dist/spark_app-VERSION.zip for `spark-submit --py-files`.

Both builds are reproducible, byte for byte. `package.py [FOLDER]` writes to another folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# 1980-01-01, the earliest time in a zip file, which a wheel is.
EPOCH_SECONDS = "315532800"


def build_wheel(folder: Path) -> Path:
    """Build the wheel with pip and the installed setuptools, in a copy, so that no build files are left behind."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "spark_app"
        for name in ("spark_app", "jobs", "conf", "scripts", "airflow", "requirements"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("setup.py", "pyproject.toml", "spark_jobs_launcher.sh", "LICENSE"):
            shutil.copy(ROOT / name, copy)
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
        command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", place, str(copy)]
        subprocess.run(command, env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH_SECONDS}, check=True)
        (wheel,) = Path(place).glob("*.whl")
        return Path(shutil.copy(wheel, folder))


def main() -> None:
    """Build both and print their paths."""
    sys.path.insert(0, str(ROOT))
    from spark_app import __version__
    from spark_app.config.installation import write_package

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"
    folder.mkdir(parents=True, exist_ok=True)
    print(write_package(folder / f"spark_app-{__version__}.zip"))
    print(build_wheel(folder))


if __name__ == "__main__":
    main()
