"""What the emulator was asked, and what it answered."""

from __future__ import annotations

import datetime as dt
import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from tests.emulator.faults import Fault

KINDS = ("chart", "holdings", "quote", "cookie", "crumb", "consent", "workbook", "other")
CHART_PATH = "/v8/finance/chart/"
SUMMARY_PATH = "/v10/finance/quoteSummary/"
QUOTE_PATH = "/v7/finance/quote"
CRUMB_PATH = "/v1/test/getcrumb"
_API_HOST = re.compile(r"query[12]\.finance\.yahoo\.com|127\.0\.0\.1:\d+|localhost:\d+")
_WORKBOOK = re.compile(r"/holdings-daily-us-en-(\w+)\.xlsx$")


@dataclass(eq=False)
class Request:
    """One HTTP request; times are of arrival and of the moment before the answer left.

    `arrived` and `answered` are monotonic seconds, `*_at` UTC. `status` stays None if no answer was sent.
    """

    method: str
    url: str
    cookie: str | None = None
    arrived: float = field(default_factory=time.monotonic)
    arrived_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    answered: float | None = None
    answered_at: dt.datetime | None = None
    status: int | None = None
    fault: Fault | None = None
    host: str = field(init=False)
    path: str = field(init=False)
    query: dict[str, str] = field(init=False)
    kind: str = field(init=False)
    tickers: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        self.host = parts.netloc
        self.path = unquote(parts.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.kind = _kind(self.host, self.path)
        self.tickers = _tickers(self.kind, self.path, self.query)

    @property
    def crumb(self) -> str | None:
        """The crumb that came with the request."""
        return self.query.get("crumb")

    def note_answer(self, status: int) -> None:
        """Note the answer that is about to leave."""
        self.status, self.answered, self.answered_at = status, time.monotonic(), dt.datetime.now(dt.UTC)


def _kind(host: str, path: str) -> str:
    if host in ("guce.yahoo.com", "consent.yahoo.com"):
        return "consent"
    if host == "fc.yahoo.com":
        return "cookie"
    if _WORKBOOK.search(path):
        return "workbook"
    return _api_kind(path) if _API_HOST.fullmatch(host) else "other"


def _api_kind(path: str) -> str:
    if path.startswith(CHART_PATH):
        return "chart"
    if path.startswith(SUMMARY_PATH):
        return "holdings"
    return {QUOTE_PATH: "quote", CRUMB_PATH: "crumb"}.get(path, "other")


def _tickers(kind: str, path: str, query: dict[str, str]) -> tuple[str, ...]:
    if kind == "quote":
        return tuple(symbol for symbol in query.get("symbols", "").upper().split(",") if symbol)
    if workbook := _WORKBOOK.search(path):
        return (workbook[1].upper(),)
    return (path.rpartition("/")[2].upper(),) if kind in ("chart", "holdings") else ()


class RequestLog:
    """Every request in the order of arrival. Thread-safe."""

    def __init__(self) -> None:
        self._requests: list[Request] = []
        self._changed = threading.Condition()

    def __iter__(self) -> Iterator[Request]:
        with self._changed:
            return iter(tuple(self._requests))

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: Request) -> None:
        """Note a request on arrival."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget everything so far."""
        with self._changed:
            self._requests.clear()

    def of(self, kind: str, ticker: str | None = None) -> list[Request]:
        """Return the requests of a kind, or only those of them that ask for `ticker`."""
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")
        return [r for r in self if r.kind == kind and (ticker is None or ticker in r.tickers)]

    def counts(self) -> Counter[str]:
        """Count the requests of each kind."""
        return Counter(request.kind for request in self)

    def tickers(self, kind: str) -> Counter[str]:
        """Count the requests of a kind for each ticker."""
        return Counter(ticker for request in self.of(kind) for ticker in request.tickers)

    def smallest_gap(self, *kinds: str) -> float:
        """Return the least seconds between two arrivals, of all requests or of these kinds.

        Raises: ValueError if there were fewer than two, so that a test on it cannot pass empty.
        """
        arrivals = sorted(request.arrived for request in self if not kinds or request.kind in kinds)
        return min(later - earlier for earlier, later in itertools.pairwise(arrivals))

    def wait_for(self, kind: str, count: int, timeout_seconds: float = 30.0) -> bool:
        """Wait until `count` requests of a kind have arrived; False if they did not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.of(kind)) >= count, timeout_seconds)
