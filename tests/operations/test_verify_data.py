"""Verifying: a sound installation passes every check, and each kind of damage is found and named."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import SparkSession

from spark_app.config.settings import Settings
from spark_app.operations.verify_data import (
    Finding,
    check_newest,
    check_sequence,
    check_staging,
    draw_findings,
    verify,
)
from spark_app.pipeline.request import Request
from spark_app.pipeline.run import Run
from spark_app.storage.postgres.database import Database
from tests.integration.fetch_market import AS_OF, MORNING_AFTER
from tests.integration.world import World
from tests.operations.installation import installation, trending_market

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")


@pytest.fixture(scope="module")
def world(open_folder: Path, spark: SparkSession) -> Iterator[World]:
    """An installation after one good run of all stages."""
    with installation(open_folder, trending_market()) as opened:
        reports = opened.run(spark, AS_OF, now=MORNING_AFTER)
        assert [report.exit_code for report in reports.values()] == [0] * 5, reports
        yield opened


@pytest.fixture
def run(world: World, spark: SparkSession) -> Run:
    return world.open(spark, AS_OF, now=MORNING_AFTER)


@pytest.fixture
def damage(world: World) -> Iterator[Damage]:
    """Do damage to the database that is undone after the test."""
    damage = Damage(world.owner)
    yield damage
    damage.undo()


class Damage:
    """Changes of tables; the tables as they were are kept aside."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tables: list[str] = []

    def do(self, table: str, statement: str) -> None:
        """Keep a copy of a table, then change it; something must change."""
        with self._database.connect() as connection:
            connection.execute(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}".encode())
            self._tables.append(table)
            assert connection.execute(statement.encode()).rowcount > 0

    def undo(self) -> None:
        """Put back what was kept."""
        with self._database.connect() as connection:
            for table in self._tables:
                connection.execute(f"TRUNCATE {table}; INSERT INTO {table} SELECT * FROM kept_{table}".encode())
                connection.execute(f"DROP TABLE kept_{table}".encode())


def failed(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.found for finding in findings if finding.passed is False}


def found(findings: list[Finding], check: str) -> str:
    (finding,) = [finding for finding in findings if finding.check == check]
    return finding.found


def test_a_sound_installation_passes(run: Run) -> None:
    findings = verify(run)
    assert failed(findings) == {}
    assert found(findings, "rows of collected_daily_etf_ohlc") == "252 from 2024-04-12 to 2024-05-10"
    assert found(findings, "benchmarks in collected_daily_benchmark_ohlc") == "2 of 2 are there"
    assert found(findings, "funds in collected_daily_etf_ohlc") == "12 of 12 are there"
    agreed = "rows of 33 tickers agree with staging"
    assert found(findings, "staging and collected_daily_stock_history") == f"{33 * 21} {agreed}"
    assert found(findings, "last stage5_portfolio_allocation").startswith("ok for 2024-05-10, ended ")
    assert found(findings, "size of staging bars").endswith(" files")
    assert found(findings, "newest session of prices of funds") == "2024-05-10"
    assert found(findings, "newest session of portfolios") == "2024-05-10"
    assert found(findings, "gaps between the dates of trends") == "none"
    assert not [finding for finding in findings if finding.is_warning]


@pytest.mark.parametrize(
    ("now", "found", "passed", "is_warning"),
    [
        # Friday, 2024-05-24, is the newest; Monday is Memorial Day.
        ("2024-05-28T19:59", "2024-05-24", True, False),
        ("2024-05-28T20:00", "2024-05-24, 1 sessions behind the last completed one (2024-05-28)", True, True),
        ("2024-05-30T09:00", "2024-05-24, 2 sessions behind the last completed one (2024-05-29)", False, False),
    ],
)
def test_stale_results_are_a_warning_first_and_then_a_failure(
    now: str, found: str, passed: bool, is_warning: bool
) -> None:
    nothing: Any = None
    friday = dt.date(2024, 5, 24)
    request = Request("run", friday, dt.datetime.fromisoformat(f"{now}+00:00"))
    run = Run(request, Settings(), nothing, nothing, nothing)
    assert check_newest(run, "trends", friday) == Finding("newest session of trends", found, passed, is_warning)


def test_a_session_without_results_between_two_that_have_them_is_a_warning() -> None:
    dates = [dt.date(2024, 5, 23), dt.date(2024, 5, 24), dt.date(2024, 5, 29), dt.date(2024, 5, 31)]
    finding = check_sequence("trends", dates)
    assert finding.found == "no results for 2 sessions: 2024-05-28, 2024-05-30"
    assert (finding.passed, finding.is_warning) == (True, True)
    assert draw_findings([finding]).endswith("  warn")


@pytest.mark.parametrize(
    ("files", "found", "is_warning"),
    [(1000, "2.0 MB, 1,000 files", False), (1001, "2.0 MB, 1,001 files: run apply_retention", True)],
)
def test_a_staging_table_of_many_files_is_a_warning(files: int, found: str, is_warning: bool) -> None:
    nothing: Any = None
    staging: Any = SimpleNamespace(count_files=lambda _table: files, size=lambda _table: 2 * 2**20)
    run = Run(Request("run", AS_OF, MORNING_AFTER), Settings(), nothing, staging, nothing)
    finding = check_staging(run, "fetches")
    assert (finding.check, finding.found, finding.is_warning) == ("size of staging fetches", found, is_warning)
    assert finding.passed is not False


# Put together as no finding tells of more than one damage: never two in a table, nor in tables that one check compares.
DAMAGES = {
    "values": [
        (
            "collected_daily_etf_ohlc",
            "UPDATE {} SET close_price = close_price + 0.000001 WHERE ticker = 'XLK' AND trade_date = '2024-05-09'",
            "staging and collected_daily_etf_ohlc",
            "1 of 12 tickers differ: XLK (values of its 21 rows)",
        ),
        (
            "collected_daily_stock_history",
            "UPDATE {} SET company_name = 'Another' WHERE ticker = 'KAA' AND trade_date = '2024-05-09'",
            "staging and collected_daily_stock_history",
            "1 of 33 tickers differ: KAA (values of its 21 rows)",
        ),
        (
            "collected_meta_etf",
            "DELETE FROM {} WHERE etf_ticker = 'XLV' AND holding_ticker = 'VAA'",
            "staging and collected_meta_etf",
            "1 of 12 tickers differ: XLV (2 rows served, 3 of them staged)",
        ),
        (
            "analytics_trending_sectors",
            "UPDATE {} SET rank = rank + 11 WHERE etf_ticker = 'XLY' AND period_days = 10",
            "flags and ranks of sectors",
            "1 wrong: 2024-05-10 XLY over 10",
        ),
        (
            "analytics_portfolio_allocation",
            "UPDATE {} SET portfolio_weight = portfolio_weight + 0.00000001"
            " WHERE ticker = (SELECT min(ticker) FROM analytics_portfolio_allocation)",
            "weights of each date",
            "1 wrong: 2024-05-10 sums to 1.00000001",
        ),
        (
            "logs_pipeline_run",
            "UPDATE {} SET status = 'running', finished_at = NULL WHERE stage = 'stage3_trending_sectors'",
            "runs that never finished",
            "stage3_trending_sectors for 2024-05-10 of ",
        ),
    ],
    "gaps, and flags that do not follow": [
        (
            "collected_daily_etf_ohlc",
            "DELETE FROM {} WHERE ticker = 'XLE' AND trade_date IN ('2024-04-30', '2024-05-10')",
            "gaps of collected_daily_etf_ohlc",
            "served by the run log, missing now: XLE 2024-04-30 2024-05-10",
        ),
        (
            "collected_daily_stock_history",
            "DELETE FROM {} WHERE ticker = 'KBB' AND trade_date = '2024-04-30'",
            "gaps of collected_daily_stock_history",
            "served by the run log, missing now: KBB 2024-04-30",
        ),
        (
            "analytics_portfolio_allocation",
            "UPDATE {} SET is_trending_20d = NOT is_trending_20d WHERE ticker = 'KAA'",
            "flags and ranks of positions",
            "1 wrong: 2024-05-10 KAA over 20",
        ),
    ],
    "a fund, and a sector's period": [
        (
            "collected_daily_etf_ohlc",
            "DELETE FROM {} WHERE ticker = 'XLU'",
            "funds in collected_daily_etf_ohlc",
            "11 of 12 are there; missing: XLU",
        ),
        (
            "analytics_trending_sectors",
            "DELETE FROM {} WHERE etf_ticker = 'XLC' AND period_days = 5",
            "each sector and period of a date",
            "1 wrong: 2024-05-10 has 32 of 33 rows",
        ),
    ],
}


@pytest.mark.parametrize("damages", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_found_and_named(run: Run, damage: Damage, damages: list[tuple[str, str, str, str]]) -> None:
    for table, statement, _, _ in damages:
        damage.do(table, statement.format(table))
    findings = failed(verify(run))
    named = {check: findings[check][: len(says)] for _, _, check, says in damages}
    assert named == {check: says for _, _, check, says in damages}


def test_an_empty_database_is_said_to_be_empty(world: World, database: Database, spark: SparkSession) -> None:
    empty = World(world.home, world.emulator, database, database).open(spark, AS_OF, now=MORNING_AFTER)
    (finding,) = verify(empty)
    assert finding == Finding("collected data", "none yet: run ./spark_jobs_launcher.sh daily_pipeline", passed=False)
