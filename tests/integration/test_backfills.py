"""The two backfills as a user runs them, against an emulator whose log says what was asked."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_app import market_calendar
from spark_app.cli.main import main
from spark_app.universe import FUNDS
from tests.emulator import Bar, Market, YahooEmulator
from tests.integration.lateness import watching_lateness
from tests.integration.processes import submitted
from tests.integration.world import World, open_world, without_text

BACKFILL, STAGGERED = "backfill_etf_benchmarks", "staggered_sector_backfill"
FUND_TABLE, BENCHMARK_TABLE = "collected_daily_etf_ohlc", "collected_daily_benchmark_ohlc"
LOOPBACK_JITTER_SECONDS = 0.010

Run = Callable[..., tuple[int, str]]


def market() -> Market:
    """The funds over 60 sessions; one more, so that a test may run over the close of a session."""
    last = market_calendar.last_completed_session(dt.datetime.now(dt.UTC))
    following = market_calendar.sessions_between(last, last + dt.timedelta(days=7))[1]
    days = [*market_calendar.sessions_ending(last, 60), following]
    return Market(
        {
            ticker: [Bar(day, p, p + 1, p - 1, p, p, 1000) for p, day in enumerate(days, start=100 + 10 * place)]
            for place, ticker in enumerate((*FUNDS, "QQQ"))
        }
    )


@pytest.fixture(scope="module")
def installation(home: Path) -> Iterator[World]:
    with YahooEmulator(market()) as emulator, open_world(home, emulator) as opened:
        yield opened


@pytest.fixture
def world(installation: World) -> World:
    """The one installation, its emulator in order again and its log empty."""
    installation.emulator.faults.clear()
    installation.emulator.log.clear()
    return installation


@pytest.fixture
def run(
    world: World,
    spark: SparkSession,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Run:
    """Run a backfill in this process, without pauses but for `--delay`; returns exit code and everything it said."""
    monkeypatch.setattr(SparkSession, "stop", lambda session: None)
    for key, value in world.source_settings.items():
        monkeypatch.setenv(f"SPARK_APP_SOURCE__{key.upper()}", value)
    monkeypatch.setenv("SPARK_APP_HOME", str(world.home))
    monkeypatch.setenv("SPARK_APP_FETCH__DELAY_SECONDS", "0")

    def run_job(job: str, *arguments: str) -> tuple[int, str]:
        world.emulator.log.clear()
        caplog.clear()
        exit_code = main(job, arguments)
        return exit_code, "".join(f"{message}\n" for message in caplog.messages) + capsys.readouterr().err

    return run_job


def asked(world: World) -> list[str]:
    """The funds whose charts were asked for, in order."""
    return [ticker for request in world.emulator.log.of("chart") for ticker in request.tickers]


def resume_arguments(said: str) -> list[str]:
    return said.rpartition("./spark_jobs_launcher.sh ")[2].splitlines()[0].split()


def rows_of(world: World, table: str, ticker: str) -> int:
    return sum(key[0] == ticker for key in world.table(table))


@pytest.mark.campaign
def test_a_network_failure_leaves_the_rest_staged_and_the_next_run_asks_for_what_failed(world: World, run: Run) -> None:
    for ticker in ("XLK", "XLV"):
        world.emulator.fail("chart", ticker=ticker, reset=True)
    exit_code, said = run(BACKFILL, "--max-retries", "0")
    assert exit_code == 65
    assert "no data for 2 of 12 funds: XLK (transient" in said
    assert asked(world) == list(FUNDS)
    assert world.table(FUND_TABLE) == {}

    world.emulator.faults.clear()
    assert run(BACKFILL)[0] == 0
    assert asked(world) == ["XLK", "XLV"]
    assert {fund: rows_of(world, FUND_TABLE, fund) for fund in FUNDS} == dict.fromkeys(FUNDS, 20)
    assert {key[0] for key in world.table(BENCHMARK_TABLE)} == {"SPY"}
    assert rows_of(world, BENCHMARK_TABLE, "SPY") == 20

    exit_code, said = run(BACKFILL)
    assert exit_code == 0
    assert "(12 cached)" in said
    assert len(world.emulator.log) == 0


def test_refresh_asks_anew_one_at_a_time_in_the_order_of_the_funds(world: World, run: Run) -> None:
    world.emulator.latency_seconds = 0.02
    assert run(BACKFILL, "--refresh", "--no-batch", "--tickers", "XLC,xlk,SPY,XLV")[0] == 0
    world.emulator.latency_seconds = 0.0
    assert asked(world) == ["SPY", "XLK", "XLV", "XLC"]
    for earlier, later in itertools.pairwise(world.emulator.log):
        assert earlier.answered is not None
        assert earlier.answered <= later.arrived


@pytest.mark.campaign
def test_more_days_are_asked_for_and_a_rate_limit_says_when_to_go_on(world: World, run: Run) -> None:
    world.emulator.fail("chart", after=1, status=429)
    before = dt.datetime.now(dt.UTC)
    exit_code, said = run(BACKFILL, "--days", "22", "--tickers", "SPY,XLK,XLV", "--rate-limit-sleep", "2")
    assert exit_code == 75
    assert asked(world) == ["SPY", "XLK"]
    assert "rate limited: 1 of 3 funds done" in said
    resume_at = dt.datetime.fromisoformat(said.split("resume after ")[1].split()[0])
    assert 0 <= (resume_at - before).total_seconds() <= 60
    job, *arguments = resume_arguments(said)

    time.sleep(max(0.0, (resume_at - dt.datetime.now(dt.UTC)).total_seconds() + 1))
    world.emulator.faults.clear()
    assert run(job, *arguments)[0] == 0
    assert asked(world) == ["XLK", "XLV"]
    assert [rows_of(world, FUND_TABLE, fund) for fund in ("SPY", "XLK", "XLV", "XLF")] == [22, 22, 22, 20]


def test_a_dry_run_of_the_staggered_backfill_shows_the_plan_and_asks_nothing(world: World, run: Run) -> None:
    exit_code, said = run(STAGGERED, "--dry-run", "--delay-minutes", "2", "--start-from", "XLE")
    assert exit_code == 0
    planned = [line.split() for line in said.splitlines() if " UTC " in line]
    assert [words[-1] for words in planned] == ["XLE", "XLU", "XLRE", "XLB"]
    times = [dt.datetime.fromisoformat(" ".join(words[-4:-2])) for words in planned]
    assert {later - earlier for earlier, later in itertools.pairwise(times)} == {dt.timedelta(minutes=2)}
    assert len(world.emulator.log) == 0


@pytest.mark.campaign
def test_skip_existing_looks_for_holes_and_not_at_the_number_of_rows(world: World, run: Run) -> None:
    last = market_calendar.last_completed_session(dt.datetime.now(dt.UTC))
    hole = market_calendar.sessions_ending(last, 25)[0]  # earlier tests brought the last 20
    whole = world.emulator.market.bars["XLU"]
    world.emulator.market.drop_bars("XLU", hole)
    exit_code, said = run(STAGGERED, "--tickers", "XLU,XLP", "--days", "31", "--delay-minutes", "0")
    assert exit_code == 65
    assert f"XLU {hole}" in said
    world.emulator.market.bars["XLU"] = whole

    exit_code, said = run(STAGGERED, "--tickers", "XLU,XLP", "--days", "30", "--skip-existing", "--dry-run")
    assert "complete, skipped: XLP" in said
    assert len(world.emulator.log) == 0
    assert run(STAGGERED, "--tickers", "XLU,XLP", "--days", "30", "--skip-existing")[0] == 0
    assert asked(world) == ["XLU"]
    assert rows_of(world, FUND_TABLE, "XLU") == 30

    exit_code, said = run(STAGGERED, "--tickers", "XLU,XLP", "--days", "30", "--skip-existing")
    assert exit_code == 0
    assert "nothing to do" in said


@pytest.mark.campaign
def test_a_sector_that_fails_does_not_stop_the_rest_and_is_named_with_what_repeats_it(world: World, run: Run) -> None:
    world.emulator.fail("chart", ticker="XLV", reset=True)
    options = ["--refresh", "--max-retries", "0", "--delay-minutes", "0"]
    exit_code, said = run(STAGGERED, "--tickers", "XLF,XLK,XLV", "--days", "32", *options)
    assert exit_code == 65
    assert asked(world) == ["XLK", "XLV", "XLF"]
    job, *arguments = resume_arguments(said.split("failed: XLV; run them again with: ")[1])
    world.emulator.faults.clear()
    assert run(job, *arguments)[0] == 0
    assert asked(world) == ["XLV"]
    assert [rows_of(world, FUND_TABLE, fund) for fund in ("XLK", "XLV", "XLF")] == [32] * 3


@pytest.mark.campaign
def test_a_rate_limit_ends_the_staggered_backfill_with_the_sector_to_start_from(world: World, run: Run) -> None:
    world.emulator.fail("chart", after=1, status=429)
    exit_code, said = run(STAGGERED, "--start-from", "XLU", "--days", "33", "--delay-minutes", "0")
    assert exit_code == 75
    assert asked(world) == ["XLU", "XLRE"]
    job, *arguments = resume_arguments(said)
    assert arguments[-2:] == ["--start-from", "XLRE"]
    assert arguments.count("--start-from") == 1

    exit_code, said = run(job, *arguments)
    assert exit_code == 75
    assert "nothing was fetched" in said
    assert len(world.emulator.log) == 0

    world.emulator.faults.clear()
    assert run(job, *arguments, "--force")[0] == 0
    assert asked(world) == ["XLRE", "XLB"]


@pytest.mark.parametrize(("charts", "days"), [(1, "34"), (2, "35")], ids=["while waiting", "while fetching"])
def test_ctrl_c_in_the_staggered_backfill_says_how_to_resume(world: World, run: Run, charts: int, days: str) -> None:
    world.emulator.fail("chart", ticker="XLV", times=1, delay_seconds=1)

    def press() -> None:
        assert world.emulator.log.wait_for("chart", charts)
        time.sleep(0 if charts == 2 else 3)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    minutes = "1" if charts == 1 else "0"
    exit_code, said = run(STAGGERED, "--tickers", "XLK,XLV,XLF", "--days", days, "--delay-minutes", minutes)
    presser.join()
    assert exit_code == 130
    stopped_at = "XLV" if charts == 1 else "XLF"
    assert f"To resume, run with: --start-from {stopped_at}" in said
    assert asked(world) == ["XLK", "XLV"][:charts]

    job, *arguments = resume_arguments(said)
    arguments[arguments.index("--delay-minutes") + 1] = "0"
    assert run(job, *arguments)[0] == 0
    assert asked(world) == ["XLV", "XLF"][charts - 1 :]
    assert [rows_of(world, FUND_TABLE, fund) for fund in ("XLK", "XLV", "XLF")] == [int(days)] * 3


@pytest.mark.parametrize(
    ("alone", "number"),
    [(False, signal.SIGINT), (True, signal.SIGTERM)],
    ids=["Ctrl+C", "SIGTERM to the launched process"],
)
def test_a_signal_ends_a_fetch_in_order(world: World, run: Run, alone: bool, number: signal.Signals) -> None:
    """Of the two waves in flight some charts are here, and the others wait for their turn."""
    days = {signal.SIGINT: "36", signal.SIGTERM: "38" if alone else "37"}[number]
    with submitted(world, BACKFILL, "--days", days, "--delay", "1", wave_size=2) as job:
        assert world.emulator.log.wait_for("chart", 2, 60)
        (job.signal_alone if alone else job.signal_group)(number)
        signalled = time.monotonic()
        assert job.wait() == 130
        took = time.monotonic() - signalled
        assert job.left_behind() == []
        assert "stopping: what is in flight is finished and stored" in job.said
        assert "Traceback" not in job.said
        assert "Exception" not in job.said
    came = asked(world)
    # One request may have got its turn before the workers saw the stop.
    late = [request for request in world.emulator.log if request.arrived > signalled + 1]
    assert len(came) <= 3
    assert late == []
    assert took < 60
    assert f"interrupted: {len(came)} of 12 funds done; resume with: " in job.said

    name, *arguments = job.resume_arguments()
    exit_code, said = run(name, *arguments)
    assert exit_code == 0, said
    assert sorted([*came, *asked(world)]) == sorted(FUNDS)
    assert {fund: rows_of(world, FUND_TABLE, fund) for fund in FUNDS} == dict.fromkeys(FUNDS, int(days))


@pytest.mark.campaign
def test_a_second_ctrl_c_ends_at_once(world: World) -> None:
    world.emulator.fail("chart", delay_seconds=15)
    with submitted(world, BACKFILL, "--refresh", "--delay", "0") as job:
        assert world.emulator.log.wait_for("chart", 1, 60)
        job.signal_group(signal.SIGINT)
        job.wait_for("stopping")
        time.sleep(1.2)
        job.signal_group(signal.SIGINT)
        pressed = time.monotonic()
        assert job.wait() == 130
        assert time.monotonic() - pressed < 10
        assert "Exception" not in job.said
        assert job.left_behind() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_session_is_up(world: World, number: signal.Signals) -> None:
    with submitted(world, BACKFILL, "--refresh", "--delay", "0") as job:
        while job.program != "java":
            time.sleep(0.05)
        time.sleep(1.5)
        job.signal_group(number)
        assert job.wait() in ({130} if number == signal.SIGINT else {130, 143})
        assert "Traceback" not in job.said
        assert job.left_behind() == []
    assert len(world.emulator.log) == 0


@pytest.mark.campaign
def test_a_kill_in_mid_fetch_costs_no_more_than_the_waves_in_flight(world: World, run: Run) -> None:
    arguments = ("--days", "39")
    with submitted(world, BACKFILL, *arguments, "--delay", "0.2", wave_size=2) as job:
        job.wait_for("wave 1/6")
        assert world.emulator.log.wait_for("chart", 4, 60)
        job.signal_group(signal.SIGKILL)
        assert job.wait() == -signal.SIGKILL
        assert job.left_behind() == []
        before = asked(world)

    assert run(BACKFILL, *arguments)[0] == 0
    again = set(before) & set(asked(world))
    assert len(again) <= 4
    assert set(before) | set(asked(world)) == set(FUNDS)
    after_kill = {table: without_text(world.table(table)) for table in (FUND_TABLE, BENCHMARK_TABLE)}
    assert run(BACKFILL, *arguments, "--refresh")[0] == 0
    assert {table: without_text(world.table(table)) for table in (FUND_TABLE, BENCHMARK_TABLE)} == after_kill
    assert {fund: rows_of(world, FUND_TABLE, fund) for fund in FUNDS} == dict.fromkeys(FUNDS, 39)


@pytest.mark.campaign
@pytest.mark.alone
def test_two_jobs_at_once_keep_the_delay_and_a_third_that_is_the_same_is_refused(world: World) -> None:
    delay = 0.5
    third_is_over = threading.Event()
    world.emulator.fail("chart", ticker="XLC", until=third_is_over)
    options = ("--refresh", "--delay", str(delay))
    backfill = submitted(world, BACKFILL, *options, wave_size=4, timeout_seconds=300)
    stage_1 = submitted(world, "stage1_etf_ohlc", *options, wave_size=4, timeout_seconds=300)
    with watching_lateness() as lateness, backfill as first, stage_1 as second:
        first.wait_for("wave 1/3")
        # Not in this process, whose emulator would note requests late while it has other work.
        with submitted(world, BACKFILL, *options) as third:
            assert third.wait() == 73
            assert re.search(r"backfill_etf_benchmarks for \S+ is already running", third.said)
        third_is_over.set()
        assert (first.wait(), second.wait()) == (0, 0), first.said + second.said
    assert len(world.emulator.log.of("chart")) == 25
    # The emulator accepts in one thread and notes in another, and either may have been kept waiting.
    tolerance = LOOPBACK_JITTER_SECONDS + 2 * lateness.worst
    assert world.emulator.log.smallest_gap() >= 0.98 * delay - tolerance
