"""Sessions that a schedule missed: the daily run names them, and with --catch-up runs them in one application."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from spark_app.config.settings import load_settings
from spark_app.errors import UsageError
from spark_app.operations import daily_pipeline
from spark_app.operations.daily_pipeline import missed_sessions, run_daily
from spark_app.operations.verify_data import verify
from spark_app.pipeline.request import Request
from spark_app.pipeline.run import Run
from spark_app.pipeline.stage import Stage
from tests.declared import STAGES
from tests.integration.fetch_market import TICKERS
from tests.integration.fetch_world import each_once
from tests.integration.world import World
from tests.operations.installation import installation, trending_market

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(f"2024-{text}")


def days(*texts: str) -> list[dt.date]:
    return [day(text) for text in texts]


@pytest.mark.parametrize(
    ("computed", "limit", "missed"),
    [
        # The as-of session is 2024-06-27; the 19th was Juneteenth.
        ([], 20, []),
        (["06-26"], 20, []),
        (["06-18"], 20, ["06-20", "06-21", "06-24", "06-25", "06-26"]),
        # It may be done itself, and so may days in between.
        (["06-18", "06-27"], 20, ["06-20", "06-21", "06-24", "06-25", "06-26"]),
        (["06-18", "06-21", "06-25"], 20, ["06-20", "06-24", "06-26"]),
        # What comes after it is of no interest.
        (["06-28", "07-01"], 20, []),
        # More than the limit: all are named, where they reach up to the as-of session.
        (["06-18"], 3, ["06-20", "06-21", "06-24", "06-25", "06-26"]),
        (["06-18", "06-25"], 3, ["06-26"]),
    ],
)
def test_missed_are_the_sessions_after_one_that_was_computed(
    computed: list[str], limit: int, missed: list[str]
) -> None:
    assert missed_sessions(set(days(*computed)), day("06-27"), limit) == days(*missed)


@pytest.fixture
def daily(monkeypatch: pytest.MonkeyPatch) -> Daily:
    return Daily(monkeypatch)


class Daily:
    """A daily run of 2024-06-27 that opens nothing; of the sessions before, 2024-06-20 is the newest computed one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[Run] = []
        self.exit_codes: dict[dt.date, int] = {}
        self._monkeypatch = monkeypatch
        self.compute("06-18", "06-20")
        monkeypatch.setattr(daily_pipeline, "pending_stages", lambda _run, stages: stages)
        monkeypatch.setattr(daily_pipeline, "run_stages", self._run_stages)
        monkeypatch.setattr(daily_pipeline, "run_pending", lambda run, _job, stages: self._run_stages(run, stages))

    def compute(self, *computed: str) -> None:
        """Let these be the as-of dates with a portfolio."""

        def missed(run: Run) -> list[dt.date]:
            return missed_sessions(days(*computed), run.as_of, run.settings.schedule.catch_up_sessions)

        self._monkeypatch.setattr(daily_pipeline, "_missed", missed)

    def run(self, **request: Any) -> tuple[int, Run]:
        nothing: Any = None
        now = dt.datetime(2024, 6, 28, 9, tzinfo=dt.UTC)
        run = Run(Request("scheduled", day("06-27"), now, **request), load_settings(), nothing, nothing, nothing)
        return run_daily(run), run

    @property
    def sessions(self) -> list[dt.date]:
        return [run.as_of for run in self.ran]

    def _run_stages(self, run: Run, stages: Sequence[Stage]) -> int:
        assert [stage.name for stage in stages] == list(STAGES)
        self.ran.append(run)
        return self.exit_codes.get(run.as_of, 0)


def test_without_the_option_missed_sessions_are_named_and_nothing_else_changes(
    daily: Daily, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    daily.exit_codes[day("06-27")] = 65
    exit_code, run = daily.run()
    assert (exit_code, daily.sessions) == (65, days("06-27"))
    assert caplog.messages == ["missed sessions: 4 (2024-06-21 to 2024-06-26): run again with --catch-up"]
    assert run.summary.findings["missed_sessions"] == [
        {"as_of_date": missed} for missed in days("06-21", "06-24", "06-25", "06-26")
    ]


def test_where_none_is_missed_nothing_is_said(daily: Daily, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    daily.compute("06-26")
    exit_code, run = daily.run(catch_up=True)
    assert (exit_code, daily.sessions, run.summary.findings["missed_sessions"]) == (0, days("06-27"), [])
    assert caplog.messages == []


def test_catching_up_goes_from_the_oldest_session_to_the_newest(daily: Daily) -> None:
    exit_code, _ = daily.run(catch_up=True)
    assert (exit_code, daily.sessions) == (0, days("06-21", "06-24", "06-25", "06-26", "06-27"))
    # A row of the run log each.
    assert len({run.request.run_id for run in daily.ran}) == 5


def test_a_session_that_lacks_data_is_told_by_the_exit_code_and_stops_no_other(daily: Daily) -> None:
    daily.exit_codes[day("06-24")] = 65
    exit_code, _ = daily.run(catch_up=True)
    assert (exit_code, daily.sessions[-1]) == (65, day("06-27"))


@pytest.mark.parametrize("exit_code", [75, 69, 73, 1])
def test_any_other_failure_ends_the_run(daily: Daily, exit_code: int) -> None:
    daily.exit_codes[day("06-24")] = exit_code
    assert daily.run(catch_up=True)[0] == exit_code
    assert daily.sessions == days("06-21", "06-24")


def test_with_refresh_only_what_this_run_fetched_is_cached(daily: Daily) -> None:
    daily.run(catch_up=True, refresh=True)
    asked = [(run.request.refresh, run.settings.fetch.cache_hours) for run in daily.ran]
    assert asked == [(True, 24)] + [(False, 0)] * 4


def test_of_a_long_gap_the_commands_are_named_that_compute_it(
    daily: Daily, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("SPARK_APP_SCHEDULE__CATCH_UP_SESSIONS", "3")
    # 21 sessions end with 2024-06-21 from 2024-05-22 on, and from there to 2024-06-27 there are 25.
    commands = (
        "missed sessions: 4 (2024-06-21 to 2024-06-26): more than schedule.catch_up_sessions (3):"
        " run ./spark_jobs_launcher.sh daily_pipeline --days 25 --universe all,"
        " then ./spark_jobs_launcher.sh republish --from 2024-06-21 --as-of 2024-06-26"
    )
    with pytest.raises(UsageError) as refused:
        daily.run(catch_up=True)
    assert (str(refused.value), daily.ran) == (f"--catch-up: {commands}", [])
    assert daily.run()[0] == 0
    assert caplog.messages == [commands]


@pytest.fixture(scope="module")
def world(open_folder: Path, spark: SparkSession) -> Iterator[World]:
    """An installation whose schedule ran for Monday, 2024-05-06, and not since."""
    with installation(open_folder, trending_market()) as opened:
        reports = opened.run(spark, day("05-06"), now=dt.datetime(2024, 5, 7, 9, tzinfo=dt.UTC))
        assert [report.exit_code for report in reports.values()] == [0] * 5, reports
        yield opened


def test_a_gap_is_caught_up_from_one_fetch_of_each_ticker(world: World, spark: SparkSession) -> None:
    world.emulator.log.clear()
    run = world.open(spark, day("05-09"), now=dt.datetime(2024, 5, 10, 9, tzinfo=dt.UTC), catch_up=True)
    assert run_daily(run) == 0
    logged = world.query(
        "SELECT as_of_date, count(*) FILTER (WHERE status = 'ok') FROM logs_pipeline_run GROUP BY 1 ORDER BY 1"
    )
    assert logged == [(session, 5) for session in days("05-06", "05-07", "05-08", "05-09")]
    assert world.emulator.log.tickers("chart") == each_once(TICKERS)
    assert set(world.emulator.log.tickers("workbook").values()) == {1}
    positions = world.query("SELECT as_of_date, count(*) > 0 FROM analytics_portfolio_allocation GROUP BY 1 ORDER BY 1")
    assert positions == [(session, True) for session in days("05-06", "05-07", "05-08", "05-09")]
    findings = verify(world.open(spark, day("05-09"), now=run.request.now))
    assert [finding for finding in findings if finding.is_warning or finding.passed is False] == []
