"""What `show` says where there is no portfolio: the true reason."""

from __future__ import annotations

import datetime as dt

import pytest

from spark_app.results.show import render_results
from spark_app.storage.postgres.database import Database

DAY = dt.date(2023, 6, 30)


@pytest.fixture
def judged(database: Database) -> Database:
    """A date whose sectors were compared and on which none trends."""
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO analytics_trending_sectors (as_of_date, etf_ticker, period_days, sector_name, return_pct,"
            " benchmark_return_pct, is_trending, rank, run_id)"
            " VALUES (%s, 'XLK', 20, 'Information Technology', -1, 2, false, 1, 'run')",
            (DAY,),
        )
    return database


def note_allocation(database: Database, basis_sessions: int) -> None:
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO logs_pipeline_run (run_id, stage, as_of_date, status, parameters, started_at, finished_at)"
            " VALUES ('run', 'stage5_portfolio_allocation', %s, 'ok', %s::jsonb, now(), now())",
            (DAY, f'{{"basis_sessions": {basis_sessions}}}'),
        )


def test_without_a_run_of_stage_5_the_portfolio_is_not_computed_yet(judged: Database) -> None:
    assert "Not computed yet." in render_results(judged)


@pytest.mark.parametrize("basis_sessions", [20, 5])
def test_without_a_trending_sector_that_is_the_reason(judged: Database, basis_sessions: int) -> None:
    note_allocation(judged, basis_sessions)
    assert f"No position: no sector trends over {basis_sessions} sessions." in render_results(judged)


def test_where_every_stock_is_excluded_the_reasons_are_counted(judged: Database) -> None:
    note_allocation(judged, 20)
    with judged.connect() as connection:
        for ticker, reason in (("AAPL", "not_trending"), ("MSFT", "not_trending"), ("NVDA", "no_market_cap")):
            connection.execute(
                "INSERT INTO analytics_portfolio_exclusion (as_of_date, ticker, sector, reason, detail, run_id)"
                " VALUES (%s, %s, 'Information Technology', %s, 'as tested', 'run')",
                (DAY, ticker, reason),
            )
    said = render_results(judged)
    assert "every stock of the trending sectors is excluded (2 not_trending, 1 no_market_cap)" in said
