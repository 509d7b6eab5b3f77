from __future__ import annotations

import pytest

from spark_app.errors import UsageError
from spark_app.sources.build import build_source
from spark_app.sources.contract import Outcome, SourceConfig
from tests.emulator import YahooEmulator
from tests.sources.yahoo.yahoo_world import CountingLimiter, chart, make_market


def test_a_process_has_one_session_over_many_tasks() -> None:
    with YahooEmulator(make_market()) as emulator:
        config = SourceConfig("yahoo", endpoint=emulator.url)
        for ticker in ("XLK", "XLV", "AAPL"):
            assert build_source(config, CountingLimiter()).fetch(chart(ticker))[0].outcome is Outcome.OK
        assert emulator.log.counts() == {"cookie": 1, "crumb": 1, "chart": 3}


def test_a_task_after_a_rate_limit_may_send_requests() -> None:
    with YahooEmulator(make_market()) as emulator:
        config = SourceConfig("yahoo", endpoint=emulator.url)
        emulator.fail("chart", times=1, status=429)
        outcomes = [build_source(config, CountingLimiter()).fetch(chart("XLK"))[0].outcome for _ in range(2)]
    assert outcomes == [Outcome.RATE_LIMITED, Outcome.OK]


def test_an_unknown_source_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="unknown source 'bloomberg': choose yahoo or synthetic"):
        build_source(SourceConfig("bloomberg"), CountingLimiter())
