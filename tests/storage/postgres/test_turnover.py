"""The view `analytics_portfolio_turnover`, with turnovers worked out by hand."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from spark_app.storage.postgres.database import Database

POSITION = (
    "INSERT INTO analytics_portfolio_allocation (as_of_date, ticker, sector, market_cap, market_cap_basis,"
    " is_trending_5d, is_trending_10d, is_trending_20d, portfolio_weight, allocation_reason, run_id)"
    " VALUES (%s, %s, 'Energy', 1, 'quoted', true, true, true, %s, 'x', 'run')"
)
RUN = (
    "INSERT INTO logs_pipeline_run (run_id, stage, as_of_date, status, parameters, started_at, finished_at)"
    " VALUES (%s, 'stage5_portfolio_allocation', %s, %s, '{}', now(), now())"
)
EXCLUSION = (
    "INSERT INTO analytics_portfolio_exclusion (as_of_date, ticker, sector, reason, detail, run_id)"
    " VALUES (%s, 'A', 'Energy', 'not_trending', 'x', 'run')"
)
REPUBLISH = (
    "INSERT INTO logs_pipeline_run (run_id, stage, as_of_date, status, parameters, started_at, finished_at, inputs)"
    " VALUES (%s, 'republish', %s, %s, '{}', now(), now(), jsonb_build_object('portfolio_dates', %s::text[]))"
)
TREND = (
    "INSERT INTO analytics_trending_sectors (as_of_date, etf_ticker, period_days, sector_name, is_trending,"
    " unavailable_reason, run_id) VALUES (%s, 'XLE', 20, 'Energy', false, 'x', 'run')"
)


def day(number: int) -> dt.date:
    return dt.date(2024, 5, number)


def turnovers(database: Database) -> list[tuple[int, int | None, Decimal]]:
    with database.connect() as connection:
        query = "SELECT as_of_date, previous_date, turnover FROM analytics_portfolio_turnover ORDER BY 1"
        rows = connection.execute(query).fetchall()
    return [(date.day, previous and previous.day, turnover) for date, previous, turnover in rows]


def test_turnover_is_half_the_sum_of_the_changes_and_1_from_or_to_nothing(database: Database) -> None:
    weights = {
        2: {"A": "0.5", "B": "0.3", "C": "0.2"},
        3: {"A": "0.5", "B": "0.3", "C": "0.2"},
        # A -0.1, B -0.3, D +0.4: 0.8 / 2.
        7: {"A": "0.4", "C": "0.2", "D": "0.4"},
        10: {"E": "1"},
        14: {"E": "1"},
    }
    with database.connect() as connection:
        for number, of_day in weights.items():
            for ticker, weight in of_day.items():
                connection.execute(POSITION, (day(number), ticker, weight))
        # The first date, 13 and 15 have no position; on 16 the stage failed.
        for number, status in ((1, "ok"), (2, "ok"), (15, "ok"), (16, "failed")):
            connection.execute(RUN, (f"run-{number}", day(number), status))
        connection.execute(EXCLUSION, (day(13),))
    assert turnovers(database) == [
        (1, None, Decimal(0)),
        (2, 1, Decimal(1)),
        (3, 2, Decimal(0)),
        (7, 3, Decimal("0.4")),
        (10, 7, Decimal(1)),
        (13, 10, Decimal(1)),
        (14, 13, Decimal(1)),
        (15, 14, Decimal(1)),
    ]


def test_dates_that_retention_removed_do_not_count(database: Database) -> None:
    with database.connect() as connection:
        for number in (1, 2):
            connection.execute(RUN, (f"run-{number}", day(number), "ok"))
        connection.execute(TREND, (day(2),))
        connection.execute(POSITION, (day(2), "A", "1"))
    assert turnovers(database) == [(2, None, Decimal(1))]


def test_a_date_that_republish_found_to_be_all_cash_has_a_portfolio(database: Database) -> None:
    with database.connect() as connection:
        for number in (2, 3, 6, 7):
            connection.execute(TREND, (day(number),))
        connection.execute(POSITION, (day(2), "A", "1"))
        connection.execute(RUN, ("daily", day(2), "ok"))
        # One row for both dates, of which only the last has a position; the other run failed.
        connection.execute(REPUBLISH, ("rebuilding", day(6), "ok", [str(day(3)), str(day(6))]))
        connection.execute(POSITION, (day(6), "B", "1"))
        connection.execute(REPUBLISH, ("failing", day(7), "failed", [str(day(7))]))
        changes = connection.execute(
            "SELECT as_of_date, previous_date, ticker, weight_change FROM analytics_portfolio_changes ORDER BY 1"
        ).fetchall()
    # Everything is sold on the 3rd, and B is bought on the 6th with cash.
    assert turnovers(database) == [(2, None, Decimal(1)), (3, 2, Decimal(1)), (6, 3, Decimal(1))]
    assert changes == [(day(2), None, "A", 1), (day(3), day(2), "A", -1), (day(6), day(3), "B", 1)]


def test_who_may_read_the_views_need_not_read_the_tables(database: Database) -> None:
    with database.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute("CREATE ROLE test_of_views")
        for view in ("analytics_portfolio_turnover", "analytics_portfolio_changes"):
            connection.execute(f"GRANT SELECT ON {view} TO test_of_views")
        connection.execute(POSITION, (day(2), "A", 1))
        connection.execute("SET LOCAL ROLE test_of_views")
        assert connection.execute("SELECT turnover FROM analytics_portfolio_turnover").fetchall() == [(1,)]
        assert connection.execute("SELECT ticker FROM analytics_portfolio_changes").fetchall() == [("A",)]
