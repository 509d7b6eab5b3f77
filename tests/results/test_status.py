"""What `status` says of a database whose rows are put in by SQL, at a time that the test chooses."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from spark_app.config.settings import CalendarSettings, Settings, load_settings
from spark_app.results.sessions import read_sessions
from spark_app.results.status.metrics import render_metrics, write_metrics
from spark_app.results.status.status import Status, read_status
from spark_app.results.status.text import as_json, describe_seconds, render_status
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.locks import stage_lock
from spark_app.storage.postgres.run_log import RunKey
from tests.results.rows import FRIDAY, STAGES, add, add_bar, add_run, after_close, serve
from tests.storage.postgres.logins import login_as

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")

MONDAY = dt.date(2026, 11, 23)
BEFORE_THE_OPEN = dt.datetime(2026, 11, 23, 13, tzinfo=dt.UTC)
WEDNESDAY = dt.date(2026, 11, 25)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPARK_APP_HOME", str(tmp_path))
    return tmp_path


def status_of(database: Database, now: dt.datetime = BEFORE_THE_OPEN, settings: Settings | None = None) -> Status:
    settings = Settings() if settings is None else settings
    return read_status(database, settings, read_sessions(CalendarSettings(), now), now)


def judged(status: Status) -> set[tuple[str, int | None]]:
    """The states of all stages and tables, with their sessions behind."""
    of_stages = {(stage.state, stage.sessions_behind) for stage in status.stages}
    return of_stages | {(table.state, table.sessions_behind) for table in status.tables}


def change(database: Database, statement: str) -> None:
    with database.connect() as connection:
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("served", "now"),
    [
        (FRIDAY, "2026-11-23T13:00+00:00"),  # Monday before the open
        (FRIDAY, "2026-11-22T12:00+00:00"),  # Sunday
        (WEDNESDAY, "2026-11-27T13:00+00:00"),  # the morning after Thanksgiving
    ],
)
def test_what_has_the_last_completed_session_is_fresh(database: Database, served: dt.date, now: str) -> None:
    serve(database, served)
    status = status_of(database, dt.datetime.fromisoformat(now))
    assert (status.state, status.exit_code, status.last_completed_session) == ("pass", 0, served)
    assert judged(status) == {("pass", 0)}
    assert {table.rows for table in status.tables} == {1}
    assert (status.next_run.stages, status.next_run.command) == ((), "./spark_jobs_launcher.sh show")


@pytest.mark.parametrize(
    ("now", "behind", "state", "exit_code"),
    [
        ("2026-11-23T21:00+00:00", 1, "warn", 0),  # Monday's close
        ("2026-11-24T20:59+00:00", 1, "warn", 0),
        ("2026-11-24T21:00+00:00", 2, "error", 1),
        ("2026-11-27T13:00+00:00", 3, "error", 1),  # Thanksgiving does not count
    ],
)
def test_results_grow_stale_by_sessions(served: Database, now: str, behind: int, state: str, exit_code: int) -> None:
    status = status_of(served, dt.datetime.fromisoformat(now))
    assert (status.state, status.exit_code) == (state, exit_code)
    assert judged(status) == {(state, behind)}
    assert status.next_run.stages == STAGES
    assert status.next_run.command == "./spark_jobs_launcher.sh daily_pipeline"


def test_an_empty_database_is_an_error(database: Database) -> None:
    status = status_of(database)
    assert (status.state, status.exit_code, status.origin) == ("error", 1, None)
    lines = render_status(status).splitlines()
    assert lines[0] == "error: not everything is served yet; the last completed session is 2026-11-20"
    assert sum("never ran" in line for line in lines) == len(STAGES)
    # 13 funds, then the holdings of 12; which stocks there are is known later.
    assert lines[-3:] == [
        "next run  stage1_etf_ohlc to stage5_portfolio_allocation: about 25 requests, 5 s apart: about 2 min 5 s",
        "          stage4_stock_history: requests not known before its first run",
        "command   ./spark_jobs_launcher.sh daily_pipeline",
    ]


def test_a_stage_that_failed_is_named_with_its_message(served: Database) -> None:
    add_run(served, "stage4_stock_history", MONDAY, "incomplete", exit_code=65, message="bars of 9 stocks\nmissing")
    status = status_of(served, after_close(MONDAY))
    assert status.exit_code == 1
    assert [stage.state for stage in status.stages] == ["warn", "warn", "warn", "error", "warn"]
    assert (
        "stage4_stock_history for 2026-11-23 ended incomplete (exit code 65): bars of 9 stocks missing"
        in render_status(status)
    )


def test_a_failure_of_the_session_that_is_served_counts(served: Database) -> None:
    later = after_close(MONDAY)
    add_run(served, STAGES[2], FRIDAY, "failed", run_id="again", started_at=later, finished_at=later, exit_code=1)
    assert status_of(served).exit_code == 1


def test_a_failure_of_an_earlier_session_does_not(served: Database) -> None:
    later = after_close(MONDAY)
    earlier = dt.date(2020, 1, 2)
    add_run(served, STAGES[2], earlier, "failed", run_id="again", started_at=later, finished_at=later, exit_code=1)
    status = status_of(served)
    assert status.exit_code == 0
    assert "failed for 2020-01-02" in render_status(status)


def test_a_blocked_source_ends_with_75_and_says_until_when(served: Database) -> None:
    change(
        served,
        "UPDATE logs_fetch_throttle SET blocked_until = '2099-01-02 03:04Z', blocked_reason = 'status 429',"
        " requests = 120, counted_date = (now() AT TIME ZONE 'UTC')::date",
    )
    status = status_of(served, after_close(MONDAY))
    assert (status.state, status.exit_code) == ("blocked", 75)
    text = render_status(status)
    assert "yahoo, blocked until 2099-01-02 03:04 UTC (status 429); 120 requests today, 47,880 left" in text
    assert "after 2099-01-02 03:04 UTC: ./spark_jobs_launcher.sh daily_pipeline" in text


def test_a_spent_budget_blocks_until_midnight(served: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_APP_FETCH__DAILY_REQUEST_BUDGET", "100")
    change(served, "UPDATE logs_fetch_throttle SET requests = 100, counted_date = (now() AT TIME ZONE 'UTC')::date")
    status = status_of(served)
    assert (status.exit_code, status.source and status.source.requests_left) == (75, 0)
    assert status.source is not None
    assert "the budget of 100 requests a day is spent" in str(status.source.blocked_reason)


def test_a_run_at_work_is_no_failure_and_one_that_died_is(served: Database) -> None:
    add_run(served, STAGES[0], MONDAY, "running")
    now = after_close(MONDAY)
    with stage_lock(served, RunKey("run", STAGES[0], MONDAY, {})):
        at_work = status_of(served, now)
    assert (at_work.state, at_work.exit_code, at_work.stages[0].is_running) == ("warn", 0, True)
    assert at_work.next_run.command == "./spark_jobs_launcher.sh status"
    assert "running since 2026-11-23 22:00 UTC" in render_status(at_work)
    died = status_of(served, now)
    assert (died.exit_code, died.stages[0].state) == (1, "error")
    assert "stage1_etf_ohlc for 2026-11-23 never finished: its process died" in render_status(died)


def test_the_next_run_takes_as_many_requests_as_whole_runs_before(served: Database) -> None:
    change(served, "UPDATE logs_pipeline_run SET requests = 200 WHERE stage = 'stage4_stock_history'")
    change(served, "UPDATE logs_pipeline_run SET requests = 14 WHERE stage = 'stage1_etf_ohlc'")
    again = after_close(FRIDAY) + dt.timedelta(hours=3)
    add_run(served, STAGES[3], FRIDAY, run_id="cached", started_at=again, finished_at=again, requests=0)
    run = status_of(served, after_close(MONDAY)).next_run
    # Of stage 2, whose run log has none, a request per fund: 14 + 12 + 200.
    assert (run.requests, run.seconds, run.uncounted) == (226, 1130.0, ())


def test_stages_that_are_pending_alone_are_counted(served: Database) -> None:
    change(served, "UPDATE logs_pipeline_run SET requests = 200 WHERE stage = 'stage4_stock_history'")
    for stage in STAGES[:3]:
        add_run(served, stage, MONDAY)
    status = status_of(served, after_close(MONDAY))
    assert status.next_run.stages == STAGES[3:]
    assert (
        "stage4_stock_history to stage5_portfolio_allocation: about 200 requests, 5 s apart: about 16 min 40 s"
        in render_status(status)
    )


def test_a_session_without_any_trending_sector_needs_no_rows_of_stocks(served: Database) -> None:
    for stage in STAGES:
        add_run(served, stage, MONDAY)
    add_bar(served, "collected_daily_etf_ohlc", "XLK", MONDAY)
    add_bar(served, "collected_daily_benchmark_ohlc", "SPY", MONDAY)
    now = after_close(MONDAY)
    lacking = [table.name for table in status_of(served, now).tables if table.sessions_behind]
    assert lacking == ["analytics_trending_sectors"]
    change(served, "UPDATE analytics_trending_sectors SET as_of_date = '2026-11-23'")
    status = status_of(served, now)
    assert status.state == "pass"
    assert {t.name: str(t.last_session) for t in status.tables}["collected_daily_stock_history"] == "2026-11-20"


def test_synthetic_data_are_marked_and_ask_nobody(served: Database) -> None:
    change(served, "UPDATE logs_data_origin SET origin = 'synthetic'")
    status = status_of(served, after_close(MONDAY))
    text = render_status(status)
    assert text.startswith("SYNTHETIC DATA")
    assert "stage1_etf_ohlc to stage5_portfolio_allocation: no requests" in text
    assert status.next_run.command == "./spark_jobs_launcher.sh daily_pipeline --source synthetic"
    assert json.loads(as_json(status))["origin"] == "synthetic"


def test_pending_messages_and_the_disk_are_measured(served: Database, home: Path) -> None:
    since = dt.datetime(2026, 11, 21, 6, 30, tzinfo=dt.UTC)
    message = {"topic": "t", "schema_version": 1, "table_name": "x", "row_key": "{}", "stage": "s", "run_id": "r"}
    add(served, "logs_topic_outbox", **message, as_of_date=FRIDAY, owed_since=since)
    (home / "staging" / "bars").mkdir(parents=True)
    (home / "staging" / "bars" / "part.parquet").write_bytes(b"x" * 3_000_000)
    status = status_of(served)
    text = render_status(status)
    assert (status.staging_bytes, status.messages.messages) == (3_000_000, 1)
    assert "1 pending since 2026-11-21 06:30 UTC" in text
    assert "staging 2.9 MB, database " in text


def test_staging_at_a_url_is_said_not_to_be_measured(served: Database) -> None:
    status = status_of(served, settings=load_settings(overrides={"staging": {"path": "s3a://bucket/staging"}}))
    assert status.staging_bytes is None
    assert "staging at a URL, not measured" in render_status(status)
    assert json.loads(as_json(status))["staging_bytes"] is None
    assert "staging_bytes" not in render_metrics(status)


def test_who_may_only_read_sees_the_status(served: Database) -> None:
    with login_as(served, "spark_app_reader") as reader:
        assert status_of(reader).state == "pass"


def test_the_screen_fits_a_terminal(served: Database) -> None:
    lines = render_status(status_of(served)).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 120


def test_json_has_dates_and_times_as_text(served: Database) -> None:
    told = json.loads(as_json(status_of(served)))
    assert (told["state"], told["exit_code"], told["checked_at"]) == ("pass", 0, "2026-11-23T13:00:00Z")
    stage = told["stages"][0]
    assert (stage["name"], stage["last_session"], stage["last_run"]["seconds"]) == (STAGES[0], "2026-11-20", 60)


def test_metrics_are_in_prometheus_text_format(served: Database) -> None:
    add_run(served, STAGES[3], MONDAY, "failed", exit_code=65, rows_inserted=3, rows_unchanged=4)
    samples, kinds = {}, {}
    for line in render_metrics(status_of(served, after_close(MONDAY))).splitlines():
        words = line.split()
        if line.startswith("# TYPE"):
            assert words[2] not in kinds, "a metric is described once"
            kinds[words[2]] = words[3]
        elif not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name.split("{")[0] in kinds
            samples[name] = float(value)
    assert set(kinds.values()) == {"gauge"}
    stage = '{stage="stage4_stock_history"}'
    # The run of Friday began at 22:06 and took a minute.
    friday = dt.datetime(2026, 11, 20, 22, 7, tzinfo=dt.UTC).timestamp()
    assert samples[f"spark_app_stage_last_success_timestamp_seconds{stage}"] == friday
    assert samples[f"spark_app_stage_last_run_duration_seconds{stage}"] == 60
    assert samples[f"spark_app_stage_last_run_rows{stage}"] == 7
    assert samples[f"spark_app_stage_last_run_exit_code{stage}"] == 65
    assert samples[f"spark_app_stage_sessions_behind{stage}"] == 1
    assert samples['spark_app_table_sessions_behind{table="collected_meta_etf"}'] == 1
    assert samples['spark_app_source_blocked_until_timestamp_seconds{source="yahoo"}'] == 0
    assert samples["spark_app_status_exit_code"] == 1


def test_a_file_of_metrics_is_replaced_at_once(tmp_path: Path) -> None:
    file = tmp_path / "spark_app.prom"
    file.write_text("old")
    with file.open() as reading:
        write_metrics(file, "new\n")
        assert reading.read() == "old"
    assert file.read_text() == "new\n"
    assert list(tmp_path.iterdir()) == [file]
    assert file.stat().st_mode & 0o444 == 0o444


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (605, "10 min 5 s"), (12_000, "3 h 20 min")]
)
def test_durations_are_told_in_two_units(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text
