"""What a scheduled run still has to do: stages that are not done, or stand on what came later."""

from __future__ import annotations

import datetime as dt

import pytest

from spark_app.cli.parser import STAGES
from spark_app.config.settings import load_settings
from spark_app.errors import DataIncompleteError, RateLimitedError, UsageError, first_to_count
from spark_app.pipeline.context import RunRequest
from spark_app.pipeline.execution import pending_stages
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.publish import publish
from spark_app.storage.postgres.run_log import RowCounts, RunKey, RunResult, finish_run, start_run

DAY = dt.date(2023, 6, 30)
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


def pending(database: Database, *, days: int = 21) -> list[str]:
    now = dt.datetime(2023, 7, 3, 9, tzinfo=dt.UTC)
    return pending_stages(database, load_settings(), RunRequest("next", DAY, now, days=days), STAGES)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_APP_PORTFOLIO__TOP_N_PER_SECTOR", raising=False)


def test_everything_is_pending_at_first_and_nothing_at_the_end(database: Database) -> None:
    assert pending(database) == list(STAGES)
    done(database, *STAGES)
    assert pending(database) == []


def test_a_run_goes_on_at_the_stage_that_failed(database: Database) -> None:
    done(database, *STAGES[:3])
    done(database, STAGES[3], status="failed")
    assert pending(database) == list(STAGES[3:])


def test_other_parameters_are_another_task_and_so_is_all_that_follows(database: Database) -> None:
    done(database, *STAGES)
    assert pending(database, days=60) == list(STAGES)


def test_a_stage_stands_on_the_newest_run_of_those_before_it(database: Database) -> None:
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


def test_of_stages_that_run_side_by_side_any_may_end_first(database: Database) -> None:
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


def test_what_was_known_at_an_earlier_time_is_another_task(database: Database) -> None:
    done(database, *STAGES)
    now = dt.datetime(2023, 7, 3, 9, tzinfo=dt.UTC)
    request = RunRequest("next", DAY, now, known_at=now)
    for stage in (STAGES[2], STAGES[4]):
        assert pending_stages(database, load_settings(), request, [stage]) == [stage]
