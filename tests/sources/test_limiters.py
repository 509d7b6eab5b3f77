from __future__ import annotations

import pytest

from spark_app.errors import RateLimitedError
from spark_app.sources.limiters import PauseLimiter


class FakeTime:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def make_limiter(time: FakeTime, pause_seconds: float) -> PauseLimiter:
    return PauseLimiter(pause_seconds, sleep=time.sleep, monotonic=lambda: time.now)


def test_the_first_request_does_not_wait() -> None:
    time = FakeTime()
    make_limiter(time, 5.0).acquire()
    assert time.slept == []


def test_only_the_rest_of_the_pause_is_waited() -> None:
    time = FakeTime()
    limiter = make_limiter(time, 5.0)
    limiter.acquire()
    time.now += 2.0
    limiter.acquire()
    limiter.acquire()
    assert time.slept == [3.0, 5.0]


def test_without_a_pause_nothing_waits() -> None:
    time = FakeTime()
    limiter = make_limiter(time, 0.0)
    for _ in range(3):
        limiter.acquire()
    assert time.slept == []


def test_a_reported_rate_limit_stops_every_later_request() -> None:
    limiter = make_limiter(FakeTime(), 0.0)
    limiter.report_rate_limit("too many")
    for _ in range(2):
        with pytest.raises(RateLimitedError, match="too many"):
            limiter.acquire()
