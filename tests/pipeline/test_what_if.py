"""A what-if run is told in full and leaves no trace: no row of the run log, nothing served, no message."""

from __future__ import annotations

import datetime as dt
import logging
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession

from spark_app.config.settings import load_settings
from spark_app.errors import DataIncompleteError
from spark_app.pipeline import execution
from spark_app.pipeline.execution import run_stage
from spark_app.pipeline.request import Request
from spark_app.pipeline.result import StageResult
from spark_app.pipeline.run import Run
from spark_app.pipeline.stage import Stage
from spark_app.pipeline.what_if import draw_differences
from spark_app.schemas import TRENDING_SECTORS
from spark_app.storage.delta.staging import Staging
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.publishing.difference import Difference

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")

DAY = dt.date(2023, 6, 30)
NOW = dt.datetime(2023, 7, 3, 9, tzinfo=dt.UTC)


class OneTrend(Stage):
    """Computes one row, a trend of XLK."""

    def run(self, run: Run) -> StageResult:
        row = (DAY, "XLK", 20, "Information Technology", Decimal("4.5"), Decimal(2), True, 1, None)
        return StageResult("computed", publications=(run.serve_dates(TRENDING_SECTORS, [row]),))


class NoBars(Stage):
    """Finds nothing to compute from."""

    def run(self, run: Run) -> StageResult:
        raise DataIncompleteError("no bars")


def open_run(spark: SparkSession, database: Database, **asked: Any) -> Run:
    staging = Staging(spark, "/nowhere", "real", None)
    return Run(Request("run-00000009", DAY, NOW, **asked), load_settings(), spark, staging, database)


@pytest.fixture
def sends(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The attempts to send the topic what is pending."""
    sent: list[object] = []
    monkeypatch.setattr(execution, "send_pending", lambda *given: sent.append(given))
    return sent


@pytest.mark.parametrize("asked", [{"dry_run": True}, {"known_at": NOW}, {"known_at": NOW, "force": True}])
def test_a_what_if_run_publishes_nothing_and_lists_what_would_differ(
    spark: SparkSession,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    sends: list[object],
    asked: dict[str, Any],
) -> None:
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO analytics_trending_sectors (as_of_date, etf_ticker, period_days, sector_name, return_pct,"
            " benchmark_return_pct, is_trending, rank, run_id)"
            " VALUES (%s, 'XLK', 20, 'Information Technology', 3.25, 2, true, 1, 'before')",
            (DAY,),
        )
    run = open_run(spark, database, **asked)
    with caplog.at_level(logging.INFO):
        report = run_stage(run, OneTrend("stage3_trending_sectors", "", "", depends_on=()))

    assert (report.exit_code, report.status, report.rows_updated) == (0, "what_if", 1)
    (line,) = [line for line in caplog.text.splitlines() if "return_pct" in line]
    assert line.split() == [
        "analytics_trending_sectors",
        "2023-06-30",
        "XLK",
        "(20)",
        "return_pct",
        "3.250000",
        "4.500000",
    ]
    assert "nothing published, rows that would be: 0 inserted, 1 updated" in caplog.text
    found = run.summary.findings["differences"]
    assert [(d["table"], d["ticker"], d["column"], d["old"], d["new"]) for d in found] == [
        ("analytics_trending_sectors", "XLK", "return_pct", Decimal("3.25"), Decimal("4.5"))
    ]
    with database.connect() as connection:
        assert connection.execute("SELECT return_pct, run_id FROM analytics_trending_sectors").fetchall() == [
            (Decimal("3.25"), "before")
        ]
        assert connection.execute("SELECT FROM logs_pipeline_run").fetchall() == []
        assert connection.execute("SELECT FROM logs_data_origin").fetchall() == []
    assert sends == []


def test_a_what_if_run_that_cannot_compute_ends_as_any_other(
    spark: SparkSession, database: Database, sends: list[object]
) -> None:
    report = run_stage(open_run(spark, database, dry_run=True), NoBars("stage3_trending_sectors", "", ""))
    assert (report.exit_code, report.status, report.message) == (65, "incomplete", "no bars")
    with database.connect() as connection:
        assert connection.execute("SELECT FROM logs_pipeline_run").fetchall() == []


def appearing(number: int) -> Difference:
    key = {"as_of_date": DAY, "ticker": f"T{number}"}
    return Difference("analytics_portfolio_exclusion", "appears", DAY, f"T{number}", None, None, {}, key)


def test_a_long_text_does_not_make_every_line_long() -> None:
    key = {"as_of_date": DAY, "ticker": "CVX"}
    old, new = "number 6 of the candidates of Energy by 20-session return; at most 5 are held", "no bar on 2023-06-30"
    changed = Difference("analytics_portfolio_exclusion", "changed", DAY, "CVX", "detail", old, new, key)
    *_, line = draw_differences([changed]).splitlines()
    assert line.split("detail  ")[1] == f"{old[:40]}...  {new}"


def test_rows_that_appear_or_go_are_lines_of_their_own_and_many_lines_are_cut() -> None:
    assert draw_differences([]) == "nothing differs from what is served"
    key = {"as_of_date": DAY, "ticker": "CVX"}
    going = Difference("analytics_portfolio_exclusion", "goes", DAY, "CVX", None, {}, None, key)
    first, second = draw_differences([appearing(1), going]).splitlines()[2:]
    assert first.split(maxsplit=3) == ["analytics_portfolio_exclusion", "2023-06-30", "T1", "no row       row"]
    assert second.split(maxsplit=3) == ["analytics_portfolio_exclusion", "2023-06-30", "CVX", "row    no row"]
    many = draw_differences([appearing(number) for number in range(1203)]).splitlines()
    assert len(many) == 2 + 200 + 1
    assert many[-1] == "... 1,003 more: --json FILE writes all of them"
