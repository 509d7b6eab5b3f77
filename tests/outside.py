"""Tests do not depend on what whoever runs them has in the environment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def without_settings_of_a_user(*more: str) -> Iterator[None]:
    """Take the pipeline's settings and database out of the environment for the duration of the block.

    Args:
        more: other beginnings of names that are to go.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("SPARK_APP_", "DATABASE_", *more)):
                patch.delenv(name)
        yield
