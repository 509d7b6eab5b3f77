"""Packaging of `spark_app`; `make setup` makes the environment to work in, with exact versions."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
# What a run and its schedules need besides the package. It comes along as spark_app/installed, where the launcher and
# spark_app/config/installation.py look for it.
INSTALLED = (
    "jobs/*.py",
    "conf/*",
    "airflow/dags/*.py",
    "scripts/cron_job.sh",
    "scripts/last_session.py",
    "scripts/fetch_jars.py",
    "scripts/require_java.sh",
    "scripts/spark_java/bin/java",
    "scripts/spark_python.sh",
    "scripts/make_class_archive.sh",
    "scripts/completion.bash",
)


class BuildWithJobs(build_py):
    """Takes the jobs, their settings and the scripts into the package."""

    def run(self) -> None:
        super().run()
        for file in (file for pattern in INSTALLED for file in ROOT.glob(pattern)):
            target = Path(self.build_lib, "spark_app", "installed", file.relative_to(ROOT))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)


def read_requirements() -> list[str]:
    """The loose requirements, from the same file that the lock is made of."""
    text = (ROOT / "requirements" / "runtime.in").read_text()
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def read_version() -> str:
    """The version, which spark_app/__init__.py says for all."""
    found = re.search(r'^__version__ = "(.+)"$', (ROOT / "spark_app" / "__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise ValueError("spark_app/__init__.py has no __version__")
    return found[1]


setup(
    name="spark_app",
    version=read_version(),
    description="A daily sector-rotation pipeline on Apache Spark",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["spark_app", "spark_app.*"]),
    package_data={
        "spark_app": ["py.typed"],
        "spark_app.storage.postgres": ["migrations/*.sql", "roles.sql", "comments.toml"],
        "spark_app.results.page": ["*.jinja", "*.css"],
        "spark_app.results.backtest": ["*.jinja", "*.css"],
    },
    cmdclass={"build_py": BuildWithJobs},
    scripts=["spark_jobs_launcher.sh"],
    python_requires=">=3.11",
    install_requires=read_requirements(),
)
