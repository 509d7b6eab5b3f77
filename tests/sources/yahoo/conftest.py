"""An emulator with the small market of `yahoo_world`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.emulator import YahooEmulator
from tests.sources.yahoo.yahoo_world import make_market


@pytest.fixture
def emulator() -> Iterator[YahooEmulator]:
    with YahooEmulator(make_market()) as running:
        yield running
