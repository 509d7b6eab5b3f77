"""Images built once for all tests of containers; `make test-containers` looks first whether that can be done here."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.engine import PROGRAMS, Engine

ROOT = Path(__file__).resolve().parents[2]
BASE, IMAGE, POSTGRES, KAFKA = (f"localhost/{name}" for name in ("debian", "spark_app", "postgres", "kafka"))


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"containers need {', '.join(missing)}: see `make test-containers`")
    engine = Engine(Path(tempfile.mkdtemp(prefix="spark_app-containers-")))
    engine.prepare()
    yield engine
    engine.remove()


@pytest.fixture(scope="session")
def base(engine: Engine) -> str:
    """A Debian; the variable SUITE names another than bookworm."""
    engine.build_debian(os.environ.get("SUITE") or "bookworm", BASE)
    return BASE


@pytest.fixture(scope="session")
def image(engine: Engine, base: str) -> str:
    """The image of Dockerfile.spark on this base."""
    engine.build(ROOT, IMAGE, "--file", str(ROOT / "Dockerfile.spark"), "--build-arg", f"BASE={base}")
    return IMAGE


@pytest.fixture(scope="session")
def postgres_image(engine: Engine, base: str) -> str:
    """A PostgreSQL that takes the official image's place."""
    engine.build(Path(__file__).with_name("postgres"), POSTGRES, "--build-arg", f"BASE={base}")
    return POSTGRES


@pytest.fixture(scope="session")
def kafka_image(engine: Engine, image: str) -> str:
    """A Kafka that takes the official image's place."""
    folder = engine.home / "kafka"
    shutil.copytree(Path(__file__).with_name("kafka"), folder)
    shutil.copytree(ROOT / ".venv" / "kafka-broker", folder / "jars")
    engine.build(folder, KAFKA, "--build-arg", f"IMAGE={image}")
    return KAFKA
