"""The staggered backfill: one fund after the other, each a run of its own."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest

from spark_app.errors import RunInterruptedError
from spark_app.stages.staggered import StaggeredPlan, run_plan, without_complete
from tests.integration.fetch_market import AS_OF, MORNING_AFTER
from tests.integration.fetch_world import FetchWorld, waves_of

PLAN = StaggeredPlan(("XLK", "XLV", "XLF"), dt.timedelta(seconds=2))


def exit_codes(fetch_world: FetchWorld, plan: StaggeredPlan) -> dict[str, int]:
    context = fetch_world.world.open(
        fetch_world.spark, AS_OF, now=MORNING_AFTER, refresh=False, settings=waves_of(5, max_retries=0)
    )
    return {ticker: report.exit_code for ticker, report in run_plan(context, plan, "--start-from {}".format)}


def test_a_fund_that_fails_does_not_stop_the_rest_and_alone_is_left(fetch_world: FetchWorld) -> None:
    emulator = fetch_world.world.emulator
    emulator.fail("chart", ticker="XLV", status=500)
    assert exit_codes(fetch_world, PLAN) == {"XLK": 0, "XLV": 69, "XLF": 0}
    arrivals = [request.arrived for request in emulator.log.of("chart")]
    assert min(later - earlier for earlier, later in itertools.pairwise(arrivals)) > 1.5
    assert {key[0] for key in fetch_world.world.table("collected_daily_etf_ohlc")} == {"XLK", "XLF"}

    context = fetch_world.world.open(fetch_world.spark, AS_OF, now=MORNING_AFTER)
    assert without_complete(context, PLAN.tickers) == ("XLV",)
    emulator.faults.clear()
    fetch_world.forget_log()
    assert exit_codes(fetch_world, PLAN) == {"XLK": 0, "XLV": 0, "XLF": 0}
    assert fetch_world.asked() == {"XLV": 1}


def test_a_rate_limit_stops_the_plan(fetch_world: FetchWorld) -> None:
    fetch_world.world.emulator.fail("chart", ticker="XLK", status=429)
    assert exit_codes(fetch_world, PLAN) == {"XLK": 75}
    assert fetch_world.asked() == {"XLK": 1}


def test_a_run_that_is_to_stop_names_the_fund_to_go_on_with(fetch_world: FetchWorld) -> None:
    context = fetch_world.world.open(fetch_world.spark, AS_OF, now=MORNING_AFTER)
    running = run_plan(context, PLAN, "./spark_jobs_launcher.sh --start-from {}".format)
    assert next(running)[0] == "XLK"
    context.stopping.set()
    with pytest.raises(RunInterruptedError, match="resume, run with: --start-from XLV, that is: ./spark_jobs_launcher"):
        next(running)
    assert fetch_world.asked() == {"XLK": 1}
