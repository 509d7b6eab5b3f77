"""Which restatements are staged and not served: judged for each ticker, by the runs that served it and by its bars."""

from __future__ import annotations

import datetime as dt

import psycopg
import pytest

from spark_app.schemas import ETF_OHLC
from spark_app.storage.postgres.database import Database
from spark_app.storage.postgres.provenance import Restatement
from spark_app.storage.postgres.recovery import unserved_restatements, unserved_runs

JUNE, OCTOBER, NOVEMBER = dt.date(2026, 6, 30), dt.date(2026, 10, 30), dt.date(2026, 11, 2)
FETCHED = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
ALSO = ["import_files"]


def log_run(
    connection: psycopg.Connection, run_id: str, as_of: dt.date, *, status: str = "ok", stage: str = "stage4"
) -> None:
    connection.execute(
        "INSERT INTO logs_pipeline_run (run_id, stage, as_of_date, status, exit_code, message, parameters, started_at,"
        " finished_at, code_version, host, settings)"
        " VALUES (%s, %s, %s, %s, 0, '', '{}', clock_timestamp(), clock_timestamp(), '', '', '{}')",
        (run_id, stage, as_of, status),
    )


def serve(
    connection: psycopg.Connection, ticker: str, day: dt.date, run_id: str, fetched_at: dt.datetime = FETCHED
) -> None:
    connection.execute(
        "INSERT INTO collected_daily_etf_ohlc (ticker, trade_date, open_price, high_price, low_price, close_price,"
        " adj_close_price, volume, dividend, split_ratio, fetched_at, run_id)"
        " VALUES (%s, %s, 1, 1, 1, 1, 1, 1, 0, 1, %s, %s)",
        (ticker, day, fetched_at, run_id),
    )


def listed(database: Database, *tickers: str) -> set[tuple[str, str]]:
    return unserved_runs(database, "own", "stage4", [ETF_OHLC], tickers, ALSO)


@pytest.fixture
def october(database: Database) -> Database:
    """AAA and BBB were served until October."""
    with database.connect() as connection:
        log_run(connection, "in-october", OCTOBER)
        for ticker in ("AAA", "BBB"):
            serve(connection, ticker, JUNE, "in-october")
            serve(connection, ticker, OCTOBER, "in-october")
    return database


def test_what_a_run_for_the_past_restated_is_unserved_until_the_ticker_is_served_again(october: Database) -> None:
    with october.connect() as connection:
        log_run(connection, "for-june", JUNE)
        log_run(connection, "in-november", NOVEMBER)
        serve(connection, "BBB", NOVEMBER, "in-november")
    assert listed(october, "AAA", "BBB", "NEW") == {("AAA", "for-june")}


def test_a_failed_run_is_listed_and_a_good_one_for_the_newest_session_is_not(october: Database) -> None:
    with october.connect() as connection:
        log_run(connection, "failed", NOVEMBER, status="failed")
        log_run(connection, "again", OCTOBER)
    assert listed(october, "AAA") == {("AAA", "failed")}


def test_an_import_is_listed_also_if_it_was_good(october: Database) -> None:
    with october.connect() as connection:
        log_run(connection, "imported", NOVEMBER, stage="import_files")
        log_run(connection, "another-job", NOVEMBER, stage="stage1", status="failed")
    assert listed(october, "AAA") == {("AAA", "imported")}


def test_without_the_row_of_the_run_that_served_it_every_run_counts(database: Database) -> None:
    with database.connect() as connection:
        log_run(connection, "failed", OCTOBER, status="failed")
        serve(connection, "AAA", OCTOBER, "forgotten")
    assert listed(database, "AAA") == {("AAA", "failed")}


@pytest.mark.parametrize("job", ["republish", "import_files"])
def test_a_job_that_serves_its_own_dates_alone_leaves_the_others_listed(october: Database, job: str) -> None:
    with october.connect() as connection:
        log_run(connection, "failed", NOVEMBER, status="failed")
        log_run(connection, "of-a-job", NOVEMBER, stage=job)
        serve(connection, "AAA", NOVEMBER, "of-a-job")
    assert ("AAA", "failed") in listed(october, "AAA")


def restatement(ticker: str, first: dt.date, last: dt.date) -> Restatement:
    noticed = FETCHED + dt.timedelta(hours=1)
    return Restatement(ticker, "other", "split", 0.5, 9, first, last, noticed)


def test_a_restatement_is_unserved_while_its_first_or_last_served_bar_is_of_an_earlier_fetch(
    database: Database,
) -> None:
    later, days = FETCHED + dt.timedelta(hours=1), (JUNE, OCTOBER, NOVEMBER)
    served = {"NONE": (), "OLD": (FETCHED, FETCHED), "PAST": (later, FETCHED), "NEWEST": (FETCHED, later)}
    served |= {"ALL": (later, later), "ELSEWHERE": ()}
    with database.connect() as connection:
        serve(connection, "ELSEWHERE", NOVEMBER, "run")
        for ticker, times in served.items():
            for day, time in zip(days, times, strict=False):
                serve(connection, ticker, day, "run", time)
    # Served from June on only, and to October.
    found = [restatement(ticker, dt.date(2026, 1, 2), OCTOBER) for ticker in served]
    assert [r.ticker for r in unserved_restatements(database, [ETF_OHLC], found)] == ["OLD", "PAST", "NEWEST"]
    assert unserved_restatements(database, [ETF_OHLC], []) == []
