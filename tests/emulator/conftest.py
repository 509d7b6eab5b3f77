"""The real yfinance client and a plain HTTP client, both pointed at an emulator."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yfinance as yf
from yfinance import cache
from yfinance.data import SingletonMeta

from tests.emulator import Market, YahooEmulator
from tests.emulator.clients import CookieMemory, Get, LoopbackSession, Reply, YahooClient
from tests.emulator.sample import SPY_BARS


@pytest.fixture
def emulator() -> Iterator[YahooEmulator]:
    """An emulator with two bars of SPY."""
    with YahooEmulator(Market(bars={"SPY": SPY_BARS})) as running:
        yield running


@pytest.fixture
def yahoo(emulator: YahooEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[YahooClient]:
    """A fresh yfinance whose every request goes to the emulator."""
    monkeypatch.setattr(cache._CookieCacheManager, "_Cookie_cache", CookieMemory())
    monkeypatch.setitem(yf.config.debug.data, "hide_exceptions", False)
    SingletonMeta._instances.clear()
    with LoopbackSession(emulator.url) as session:
        yield YahooClient(session)
    SingletonMeta._instances.clear()


@pytest.fixture
def get(emulator: YahooEmulator) -> Iterator[Get]:
    """Send plain requests over one kept-alive connection; absolute URLs make them proxy requests."""
    connection = http.client.HTTPConnection(emulator.url.removeprefix("http://"), timeout=5)

    def send(target: str, **headers: str) -> Reply:
        try:
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        except (OSError, http.client.HTTPException):
            connection.close()  # the next request opens another one
            raise

    yield send
    connection.close()


@pytest.fixture(scope="session")
def recorded(shared_data: Path) -> Callable[[str], Any]:
    """Read an answer that Yahoo once gave."""
    return lambda name: json.loads((shared_data / "yahoo_responses" / name).read_text())
