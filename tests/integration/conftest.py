"""One installation of the pipeline per module."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_SETTINGS_OF_A_USER = ("SPARK_APP_", "DATABASE_")


@pytest.fixture(scope="module")
def home(open_folder: Path) -> Path:
    """A folder for one installation, which the embedded PostgreSQL can reach whoever runs it."""
    folder = Path(tempfile.mkdtemp(dir=open_folder))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module", autouse=True)
def no_settings_from_outside() -> Iterator[None]:
    """Whoever runs the tests may have settings and a database of their own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_SETTINGS_OF_A_USER):
                patch.delenv(name)
        yield
