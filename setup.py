"""Packaging of `spark_app`; `make setup` makes the environment to work in, with exact versions."""

from pathlib import Path

from setuptools import find_packages, setup


def read_requirements() -> list[str]:
    """The loose requirements, from the same file that the lock is made of."""
    text = (Path(__file__).parent / "requirements" / "runtime.in").read_text()
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


setup(
    name="spark_app",
    version="0.1.0",
    description="A daily sector-rotation pipeline on Apache Spark",
    packages=find_packages(include=["spark_app", "spark_app.*"]),
    package_data={"spark_app": ["py.typed"], "spark_app.storage": ["migrations/*.sql", "roles.sql"]},
    python_requires=">=3.11",
    install_requires=read_requirements(),
)
