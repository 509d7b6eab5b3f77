"""What a scheduled run still has to do: stages that are not done, or stand on what came later."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

import pytest

from spark_app.config.settings import load_settings
from spark_app.errors import DataIncompleteError, RateLimitedError, RunInterruptedError, UsageError, first_to_count
from spark_app.pipeline import sequence
from spark_app.pipeline.request import Request
from spark_app.pipeline.result import StageReport
from spark_app.pipeline.run import Run
from spark_app.pipeline.sequence import pending_stages, run_stages
from spark_app.pipeline.stage import Stage
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.publishing.publish import publish
from spark_app.storage.postgres.run_log import RowCounts, RunKey, RunResult, finish_run, start_run
from tests.declared import DECLARED, STAGES

DAY = dt.date(2023, 6, 30)
NOW = dt.datetime(2023, 7, 3, 9, tzinfo=dt.UTC)
PARAMETERS: dict[str, dict[str, object]] = {
    "stage1_etf_ohlc": {"days": 21},
    "stage2_etf_holdings": {"holdings_provider": "yahoo"},
    "stage3_trending_sectors": {},
    "stage4_stock_history": {"days": 21, "universe": "trending"},
    "stage5_portfolio_allocation": {"basis_sessions": 20, "top_n_per_sector": 5, "max_weight": None},
}


def done(database: Database, *stages: str, status: str = "ok", **parameters: object) -> None:
    for stage in stages:
        key = RunKey(f"run {dt.datetime.now(dt.UTC)}", stage, DAY, {**PARAMETERS[stage], **parameters})
        start_run(database, key)
        publish(database, key, RunResult(status, 0, ""), origin="real")


def pending(database: Database, *stages: str, **asked: Any) -> list[str]:
    nothing: Any = None
    request = Request("next", DAY, NOW, **asked)
    run = Run(request, load_settings(), nothing, nothing, database)
    return [stage.name for stage in pending_stages(run, [DECLARED[name] for name in stages or STAGES])]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_APP_PORTFOLIO__TOP_N_PER_SECTOR", raising=False)


def test_everything_is_pending_at_first_and_nothing_at_the_end(database: Database) -> None:
    assert pending(database) == list(STAGES)
    done(database, *STAGES)
    assert pending(database) == []


def test_a_correction_of_the_calendar_makes_every_stage_another_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(database, *STAGES)
    monkeypatch.setenv("SPARK_APP_CALENDAR__CLOSURES", "2023-06-19")
    assert pending(database) == list(STAGES)
    done(database, *STAGES, calendar={"closures": ["2023-06-19"]})
    assert pending(database) == []


def test_a_correction_of_a_ticker_makes_every_stage_another_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(database, *STAGES)
    monkeypatch.setenv("SPARK_APP_CORRECTIONS__FIRST_SESSIONS", '{"XLC": "2018-06-20"}')
    assert pending(database) == list(STAGES)
    done(database, *STAGES, corrections={"first_sessions": {"XLC": "2018-06-20"}})
    assert pending(database) == []


def test_a_run_resumes_at_the_stage_that_failed(database: Database) -> None:
    done(database, *STAGES[:3])
    done(database, STAGES[3], status="failed")
    assert pending(database) == list(STAGES[3:])


def test_other_parameters_are_another_task_and_so_is_all_that_follows(database: Database) -> None:
    done(database, *STAGES)
    assert pending(database, days=60) == list(STAGES)


def test_a_stage_depends_on_the_newest_run_of_those_before_it(database: Database) -> None:
    done(database, *STAGES)
    done(database, STAGES[1])
    assert pending(database) == list(STAGES[2:])


@pytest.mark.parametrize("job", ["backfill_etf_benchmarks", "staggered_sector_backfill", "republish"])
@pytest.mark.parametrize(("changed", "left"), [(0, []), (1, list(STAGES[2:]))])
def test_another_job_of_the_same_date_counts_where_it_changed_rows(
    database: Database, job: str, changed: int, left: list[str]
) -> None:
    done(database, *STAGES)
    key = RunKey("beside", job, DAY, {})
    start_run(database, key)
    with database.connect() as connection:
        finish_run(connection, key, RunResult("ok", 0, ""), RowCounts(updated=changed))
    assert pending(database) == left


def test_stages_that_do_not_stand_on_each_other_may_end_in_any_order(database: Database) -> None:
    done(database, *(STAGES[place] for place in (1, 0, 3, 2, 4)))
    assert pending(database) == []


def test_the_newest_run_of_a_stage_counts_not_any_older_one(database: Database) -> None:
    done(database, *STAGES)
    done(database, STAGES[4], top_n_per_sector=3)
    assert pending(database) == [STAGES[4]]


def test_of_several_failures_the_first_of_the_table_counts() -> None:
    incomplete, limited, usage = DataIncompleteError("a"), RateLimitedError("b"), UsageError("c")
    assert first_to_count([usage, incomplete, limited]) is limited
    assert first_to_count([usage, incomplete]) is incomplete
    assert first_to_count([]) is None


def report(stage: str, exit_code: int = 0) -> StageReport:
    return StageReport("run", stage, DAY, "failed" if exit_code else "ok", exit_code, f"the message of {stage}", 0.1)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that opens nothing; its stages are replaced by the test."""
    nothing: Any = None
    monkeypatch.setattr(sequence, "prepare_staging", lambda _run: None)
    request = Request("run", DAY, NOW, resume_command="the same again")
    return Run(request, load_settings(), nothing, nothing, nothing)


@pytest.mark.parametrize(("failing", "exit_code", "ran"), [(0, 65, 1), (3, 1, 4)])
def test_after_a_failure_no_stage_begins_and_the_failure_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    run: Run,
    failing: int,
    exit_code: int,
    ran: int,
) -> None:
    begun = []

    def fail(_run: Run, stage: Stage) -> StageReport:
        begun.append(stage.name)
        return report(stage.name, exit_code if stage.name == STAGES[failing] else 0)

    monkeypatch.setattr(sequence, "run_stage", fail)
    assert run_stages(run, [DECLARED[name] for name in STAGES]) == exit_code
    assert begun == list(STAGES[:ran])
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        f"{STAGES[failing]}: the message of {STAGES[failing]}"
    ]


def test_a_run_that_is_to_stop_begins_no_further_stage(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    begun = []

    def stop(stopped: Run, stage: Stage) -> StageReport:
        begun.append(stage.name)
        if stage.name == STAGES[1]:
            stopped.stopping.set()
        return report(stage.name)

    monkeypatch.setattr(sequence, "run_stage", stop)
    with pytest.raises(RunInterruptedError, match="interrupted before stage3_trending_sectors; resume with: the same"):
        run_stages(run, [DECLARED[name] for name in STAGES])
    assert begun == list(STAGES[:2])
