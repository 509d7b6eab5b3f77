"""The first "too many requests" stops everything; what was fetched is kept, and later only the rest is asked for."""

from __future__ import annotations

import datetime as dt
import logging
import re
import time
from typing import Any

import pytest

from tests.integration.fetch_market import ALL_STOCKS, FUNDS, STAGE_1
from tests.integration.fetch_world import (
    RESUME,
    STAGE2,
    STAGE4,
    FetchWorld,
    each_once,
    right_prices,
    served_prices,
    waves_of,
)
from tests.integration.world import differences

TEXT: dict[str, Any] = {"status": 200, "body": "Too Many Requests\r\n"}
FROM_YAHOO = {"source": {"holdings_provider": "yahoo"}}
IN_FLIGHT = 1
"""Of two waves one has the rate limit, and the other may have sent its request already."""


@pytest.fixture(autouse=True)
def slow_enough(fetch_world: FetchWorld, caplog: pytest.LogCaptureFixture) -> None:
    """An answer takes longer than telling the other worker that it is to stop."""
    caplog.set_level(logging.INFO, "spark_app")
    fetch_world.world.emulator.latency_seconds = 0.04


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("chart", {"after": 0, "status": 429}),
        ("chart", {"after": 7, "status": 429}),
        ("chart", {"after": 12, "status": 429}),
        ("chart", {"ticker": "XLI", "status": 429}),
        ("crumb", {"status": 429}),
        ("crumb", TEXT),
    ],
    ids=["first", "in the second wave", "last", "one ticker", "crumb", "crumb as text"],
)
def test_charts_stop_at_the_first_rate_limit(
    fetch_world: FetchWorld, where: str, fault: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    limited = fetch_world.world.emulator.fail(where, **fault)
    report = fetch_world.run(settings=waves_of(5))
    assert (report.exit_code, report.status) == (75, "rate_limited")
    assert len(fetch_world.after(limited)) <= IN_FLIGHT
    came = {ticker for ticker, outcome in fetch_world.outcomes().items() if outcome == "ok"}
    assert {row["ticker"] for row in fetch_world.staged("bars")} == came
    assert f"{len(came)} of 13 funds done" in report.message
    assert named_as_left(caplog) == set(STAGE_1) - came
    assert report.message.endswith(f"with: {RESUME}")
    # The message says it to the second.
    assert report.resume_at is not None
    assert report.resume_at.replace(microsecond=0) == resume_time(report.message).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("stage", "where", "count", "settings"),
    [
        (STAGE2, "holdings", 3, FROM_YAHOO),
        (STAGE4, "quote", 1, {}),
        (STAGE2, "crumb", 1, FROM_YAHOO),
    ],
)
def test_holdings_and_quotes_stop_as_well(
    fetch_world: FetchWorld,
    stage: str,
    where: str,
    count: int,
    settings: dict[str, dict[str, object]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    if stage == STAGE4:
        assert fetch_world.run(STAGE2).exit_code == 0
    fetch_world.forget_log()
    limited = fetch_world.world.emulator.fail(where, after=count - 1, status=429)
    report = fetch_world.run(stage, settings=settings | waves_of(5))
    assert (report.exit_code, report.status) == (75, "rate_limited")
    assert len(fetch_world.after(limited)) <= IN_FLIGHT
    kind, tickers = ("quote", ALL_STOCKS) if stage == STAGE4 else ("holdings", FUNDS)
    came = {ticker for ticker, outcome in fetch_world.outcomes(kind).items() if outcome == "ok"}
    assert count - 1 - IN_FLIGHT <= len(came) < count + IN_FLIGHT
    assert f"rate limited: {len(came)} of {len(tickers)} " in report.message
    assert named_as_left(caplog) == set(tickers) - came


def test_before_the_pause_is_over_nothing_is_asked_and_force_asks_for_the_rest(fetch_world: FetchWorld) -> None:
    fetch_world.world.emulator.fail("chart", times=1, after=7, status=429)
    first = fetch_world.run(settings=waves_of(5))
    missing = [ticker for ticker in STAGE_1 if fetch_world.outcomes().get(ticker) != "ok"]
    assert 4 <= len(missing) <= 6
    fetch_world.forget_log()

    second = fetch_world.run(settings=waves_of(5))
    assert (second.exit_code, len(fetch_world.world.emulator.log)) == (75, 0)
    assert "nothing was fetched" in second.message
    assert resume_time(second.message) == resume_time(first.message)

    assert fetch_world.run(settings=waves_of(5), force=True).exit_code == 0
    assert fetch_world.asked() == each_once(missing)
    assert not differences(served_prices(fetch_world), right_prices())


def test_after_the_pause_only_the_rest_is_asked_for(fetch_world: FetchWorld) -> None:
    settings = waves_of(5, rate_limit_pause_seconds=1)
    fetch_world.world.emulator.fail("chart", times=1, ticker="XLB", status=429)
    assert fetch_world.run(settings=settings).exit_code == 75
    missing = [ticker for ticker in STAGE_1 if fetch_world.outcomes().get(ticker) != "ok"]
    fetch_world.forget_log()
    time.sleep(1)
    assert fetch_world.run(settings=settings).exit_code == 0
    assert fetch_world.asked() == each_once(missing)
    assert not differences(served_prices(fetch_world), right_prices())


def test_a_spent_budget_ends_at_midnight(fetch_world: FetchWorld) -> None:
    settings = waves_of(5, daily_request_budget=7)
    before = dt.datetime.now(dt.UTC).date()
    report = fetch_world.run(settings=settings)
    assert (report.exit_code, len(fetch_world.world.emulator.log)) == (75, 7)
    assert "budget of 7 requests" in report.message
    midnight = resume_time(report.message)
    assert midnight.time() == dt.time(0)
    assert midnight.date() in {before + dt.timedelta(days=1), before + dt.timedelta(days=2)}
    assert fetch_world.run(settings=settings, force=True).exit_code == 75
    assert len(fetch_world.world.emulator.log) == 7


def named_as_left(caplog: pytest.LogCaptureFixture) -> set[str]:
    """The tickers that the run's output names as not done."""
    lines = [record.getMessage() for record in caplog.records if " remain: " in record.getMessage()]
    return {ticker for line in lines for ticker in line.partition(" remain: ")[2].split(", ")}


def resume_time(message: str) -> dt.datetime:
    found = re.search(r"resume after (\S+)Z with", message)
    assert found, message
    return dt.datetime.fromisoformat(found[1])
