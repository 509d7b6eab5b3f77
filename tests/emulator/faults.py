"""What goes wrong on demand: which requests, how often, and in what way."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from tests.emulator import bodies
from tests.emulator.bodies import Answer
from tests.emulator.log import KINDS, Request


@dataclass(eq=False)
class Fault:
    """One thing that goes wrong.

    Which requests: `where` is a kind ("chart") or a regular expression searched in host + path + query;
    `ticker` narrows it to requests that ask for that ticker. The first `after` matching requests pass,
    the next `times` are hit (None = all of them).

    What happens, in this order: `until` is waited for; `delay_seconds` pass; `edit` takes the answer's JSON and
    returns what to send instead; `status`, `body` (text, bytes or JSON) and `headers` replace those of the answer;
    after `cut_after_bytes` of the body, or with `reset` before anything is sent, the connection ends.
    A `status` without a `body` brings what Yahoo sends with it.
    """

    where: str = ""
    ticker: str | None = None
    times: int | None = None
    after: int = 0
    until: threading.Event | None = None
    delay_seconds: float = 0.0
    edit: Callable[[Any], Any] | None = None
    status: int | None = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after_bytes: int | None = None
    reset: bool = False
    hits: int = field(default=0, init=False)
    _passed: int = field(default=0, init=False)

    def takes(self, request: Request) -> bool:
        """Say whether the fault hits this request, and count it."""
        if not self._matches(request) or self.hits == self.times:
            return False
        if self._passed < self.after:
            self._passed += 1
            return False
        self.hits += 1
        return True

    def alter(self, answer: Answer) -> Answer:
        """Return the answer as the fault leaves it."""
        if self.edit is not None:
            answer = replace(answer, body=_to_bytes(self.edit(json.loads(answer.body))))
        if self.status is not None:
            answer = _answer_with(self.status) if self.body is None else replace(answer, status=self.status)
        if self.body is not None:
            content_type = bodies.TEXT_TYPE if isinstance(self.body, str | bytes) else bodies.JSON_TYPE
            answer = replace(answer, body=_to_bytes(self.body), content_type=content_type)
        return replace(answer, headers={**answer.headers, **self.headers})

    def _matches(self, request: Request) -> bool:
        if self.ticker is not None and self.ticker not in request.tickers:
            return False
        if self.where in KINDS:
            return request.kind == self.where
        return re.search(self.where, request.url.partition("://")[2]) is not None


NO_FAULT = Fault()


class Faults:
    """The faults to come, asked in the order in which they were added. Thread-safe."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Add a fault behind those already there."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Let everything work again."""
        with self._lock:
            self._faults.clear()

    def take(self, request: Request) -> Fault | None:
        """Return the first fault that hits the request, None if all is well."""
        with self._lock:
            return next((fault for fault in self._faults if fault.takes(request)), None)


def _answer_with(status: int) -> Answer:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return bodies.rate_limit_answer()
    if status == HTTPStatus.UNAUTHORIZED:
        return bodies.invalid_crumb_answer()
    known = status in HTTPStatus._value2member_map_
    return bodies.html_answer(status, f"{status} {HTTPStatus(status).phrase}" if known else str(status))


def _to_bytes(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body, separators=(",", ":")).encode()
