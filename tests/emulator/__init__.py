"""Yahoo Finance on a loopback port, for tests: an HTTP proxy that answers in Yahoo's place.

with YahooEmulator(Market(bars={"SPY": [Bar(...)]})) as emulator:
    emulator.fail("chart", ticker="SPY", times=1, status=429)
    ...                                             # let the code under test use emulator.url as its proxy
    assert emulator.log.counts()["chart"] == 3
"""

from tests.emulator.faults import Fault
from tests.emulator.log import Request, RequestLog
from tests.emulator.market import CASH_ROWS, Bar, Event, Holding, Market, Quote, Snapshot
from tests.emulator.server import YahooEmulator

__all__ = [
    "CASH_ROWS",
    "Bar",
    "Event",
    "Fault",
    "Holding",
    "Market",
    "Quote",
    "Request",
    "RequestLog",
    "Snapshot",
    "YahooEmulator",
]
