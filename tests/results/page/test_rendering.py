"""The page against plain SQL on the same tables, and what it says where something is missing."""

from __future__ import annotations

import datetime as dt
import re

import psycopg
import pytest

from spark_app.errors import DataIncompleteError, UsageError
from spark_app.storage.postgres.database import Database
from tests.results.page.figures import differences, tables_in
from tests.results.page.world import (
    DAY,
    DAY_BEFORE,
    HOSTILE_NAMES,
    add_exclusions,
    add_origin,
    add_portfolio,
    add_prices,
    add_republish,
    add_run,
    add_trends,
    fill,
    page_of,
)


@pytest.fixture
def connection(database: Database) -> psycopg.Connection:
    return database.connect()


def text_of(page: str) -> str:
    """The words of the page without markup, each space single."""
    body = re.sub(r"<style>.*?</style>|<[^>]*>", "", page, flags=re.DOTALL)
    return " ".join(body.split())


@pytest.mark.parametrize("size", [1, 12, 60])
def test_every_figure_is_that_of_the_served_tables(database: Database, size: int) -> None:
    with database.connect() as connection:
        fill(connection, size)
        assert differences(tables_in(page_of(database)), connection, DAY) == []


def test_what_changed_is_in_the_first_lines(database: Database) -> None:
    with database.connect() as connection:
        fill(connection, 12)
        ((turnover,),) = connection.execute(
            "SELECT to_char(round(turnover * 100, 1), 'FM990.0') FROM analytics_portfolio_turnover"
            " WHERE as_of_date = %s",
            (DAY,),
        )
    said = text_of(page_of(database))
    assert f"{turnover} % since 9 May 2024" in said
    assert "In T13 T14 T15" in said and "Out T01 T02 T03" in said
    assert "Fresh: the last completed session" in said


def test_sectors_are_compared_with_the_same_date_as_positions(database: Database) -> None:
    wednesday = dt.date(2024, 5, 8)
    with database.connect() as connection:
        # Over 20 sessions XLRE returned 5.176536 %, XLU 6.411103 %, XLV and XLY more than 7 %, the others less than 5.
        for day, benchmark in ((wednesday, "5"), (DAY_BEFORE, "7"), (DAY, "6")):
            add_trends(connection, day, benchmark=benchmark)
        add_portfolio(connection, wednesday, 2)
        connection.execute("UPDATE logs_pipeline_run SET run_id = 'run of Wednesday'")
        add_portfolio(connection, DAY, 2)
    said = text_of(page_of(database))
    assert "compared with 8 May 2024" in said
    assert "XLRE ended since 8 May 2024" in said
    # It trends since Thursday, and did on Wednesday as well.
    assert "XLU began" not in said


def test_without_an_earlier_portfolio_sectors_are_compared_with_the_previous_trends(database: Database) -> None:
    with database.connect() as connection:
        add_trends(connection, DAY_BEFORE, benchmark="7")
        add_trends(connection, DAY, benchmark="6")
    assert "XLU began since 9 May 2024" in text_of(page_of(database))


def test_names_of_companies_cannot_change_the_page(database: Database) -> None:
    with database.connect() as connection:
        fill(connection, 12, names=HOSTILE_NAMES)
    page = page_of(database)
    assert "<script" not in page and "<img" not in page and page.count("</style>") == 2
    assert "onmouseover=&#34;" in page
    assert "{{ 7 * 7 }}" in text_of(page)
    assert "\x1b" not in page and "\x01" not in page
    assert "W" * 1000 not in page


def test_a_synthetic_page_says_so_everywhere(database: Database) -> None:
    with database.connect() as connection:
        fill(connection, 3)
    page = page_of(database)
    assert "<title>SYNTHETIC DATA: " in page
    headings = re.findall(r"<h2 id=.*?</h2>", page)
    assert len(headings) == 8 and all("SYNTHETIC DATA" in heading for heading in headings)


def test_a_page_of_real_prices_does_not_say_synthetic(database: Database) -> None:
    with database.connect() as connection:
        fill(connection, 3, origin="real")
    assert "synthetic" not in page_of(database).lower()


def test_where_no_sector_trends_the_portfolio_is_cash(database: Database) -> None:
    with database.connect() as connection:
        add_trends(connection, DAY, benchmark="20")
        add_run(connection, "stage5_portfolio_allocation", DAY)
    said = text_of(page_of(database))
    assert "No position The portfolio is cash: no sector trends over 20 sessions." in said
    assert "0 of 11 sectors" in said and "0.0 % no earlier portfolio" in said


def test_without_a_known_return_over_the_basis_that_is_why_the_portfolio_is_cash(database: Database) -> None:
    with database.connect() as connection:
        add_trends(connection, DAY)
        connection.execute(
            "UPDATE analytics_trending_sectors SET return_pct = NULL, rank = NULL, is_trending = false,"
            " unavailable_reason = 'no bar on 2024-04-12' WHERE period_days = 20"
        )
        add_run(connection, "stage5_portfolio_allocation", DAY)
    said = text_of(page_of(database))
    assert "0 of 11 sectors No return is known over 20 sessions" in said
    assert "All cash: no return of a sector over 20 sessions is known" in said
    assert "The portfolio is cash: no return of a sector over 20 sessions is known." in said


def test_without_the_holdings_of_the_trending_sectors_that_is_why_the_portfolio_is_cash(database: Database) -> None:
    with database.connect() as connection:
        add_trends(connection, DAY, benchmark="7")
        add_run(connection, "stage5_portfolio_allocation", DAY)
    reason = "XLV, XLY trend over 20 sessions, but no holdings of these funds are known."
    assert f"The portfolio is cash: {reason}" in text_of(page_of(database))


def test_a_date_that_republish_found_to_be_all_cash_is_one_that_the_next_is_compared_with(database: Database) -> None:
    monday = dt.date(2024, 5, 13)
    with database.connect() as connection:
        add_trends(connection, DAY_BEFORE)
        add_trends(connection, DAY, benchmark="20")
        add_trends(connection, monday)
        add_portfolio(connection, DAY_BEFORE, 2)
        connection.execute("UPDATE logs_pipeline_run SET run_id = 'run of Thursday'")
        add_portfolio(connection, monday, 2)
        add_republish(connection, DAY)
    said = text_of(page_of(database, DAY))
    assert "No position The portfolio is cash: no sector trends over 20 sessions." in said
    assert "100.0 % since 9 May 2024" in said
    # With Thursday's, which has the same two positions, nothing would have been traded.
    assert "100.0 % since 10 May 2024" in text_of(page_of(database, monday))


def test_where_every_stock_is_excluded_the_reasons_are_counted(database: Database) -> None:
    with database.connect() as connection:
        add_trends(connection, DAY)
        add_run(connection, "stage5_portfolio_allocation", DAY)
        add_exclusions(connection, DAY, 4)
    assert "Every stock of the trending sectors is excluded: 2 not trending, 1 below top n, 1 missing bars." in text_of(
        page_of(database)
    )


def test_without_a_run_of_stage_5_the_portfolio_is_not_there_yet(database: Database) -> None:
    with database.connect() as connection:
        add_trends(connection, DAY)
    assert "No portfolio yet Stage 5 has not computed a portfolio for 10 May 2024" in text_of(page_of(database))


@pytest.mark.parametrize(
    ("origin", "cost", "source"),
    [
        ("real", "with 12 requests", ""),
        ("synthetic", "without a request", " --source synthetic"),
        ("files", "from the imported files", " --source files"),
    ],
)
# Without a date a job would work for the last completed session.
@pytest.mark.parametrize(("now", "date"), [("2024-05-11", ""), ("2024-05-14", " --as-of 2024-05-10")])
def test_a_short_history_is_shown_and_how_a_year_is_filled(
    database: Database, origin: str, cost: str, source: str, now: str, date: str
) -> None:
    with database.connect() as connection:
        connection.execute("INSERT INTO logs_data_origin (origin) VALUES (%s)", (origin,))
        add_trends(connection, DAY)
        add_prices(connection, sessions=30)
    made = dt.datetime.fromisoformat(now).replace(tzinfo=dt.UTC)
    said = text_of(page_of(database, now=made))
    command = f"./spark_jobs_launcher.sh backfill_etf_benchmarks --days 252{date}{source} "
    assert f"30 of 252 sessions are served. A year is filled {cost}: {command}" in said
    assert f"Needs 73 sessions of prices in a row; 30 are served. Fill a year {cost}: {command}" in said
    computing = f"run ./spark_jobs_launcher.sh daily_pipeline{date}{source} "
    assert f"Stage 5 has not computed a portfolio for 10 May 2024: {computing}" in said


def test_the_commands_on_a_page_of_the_past_are_for_its_session(database: Database) -> None:
    with database.connect() as connection:
        add_origin(connection, "synthetic")
        add_trends(connection, DAY_BEFORE)
        add_trends(connection, DAY)
    said = text_of(page_of(database, DAY_BEFORE))
    of_session = "--as-of 2024-05-09 --source synthetic"
    assert f"run ./spark_jobs_launcher.sh daily_pipeline {of_session} " in said
    assert f"./spark_jobs_launcher.sh backfill_etf_benchmarks --days 252 {of_session} " in said


def test_who_filled_a_year_as_the_page_said_is_not_sent_again(database: Database) -> None:
    with database.connect() as connection:
        add_trends(connection, DAY)
        add_prices(connection, sessions=252)
    assert "backfill_etf_benchmarks" not in text_of(page_of(database))


def test_a_missing_price_leaves_a_gap(database: Database) -> None:
    with database.connect() as connection:
        fill(connection, 3)
        connection.execute("DELETE FROM collected_daily_etf_ohlc WHERE ticker = 'XLK' AND trade_date = %s", (DAY,))
    tables = tables_in(page_of(database))
    assert tables["strength-table"][0].count("n/a") == 1
    assert "XLK" not in {row[0].split()[-1] for row in tables["rotation-table"]}
    assert tables["health-table"][0][2:4] == ["11", "12 funds"]


def test_the_basis_is_that_of_the_run_that_computed_the_portfolio_last(database: Database) -> None:
    with database.connect() as connection:
        fill(connection, 3)
        add_republish(connection, DAY_BEFORE, DAY, basis_sessions=5)
    page = page_of(database)
    assert re.findall(r'(\d+)<span class="basis"', page) == ["5"]


BY_MARKET_CAP = "Weight = market cap ÷ the market caps of all positions"


@pytest.mark.parametrize(
    ("max_weight", "is_exceeded", "said"),
    [
        (None, False, f"{BY_MARKET_CAP}. Change in points since 9 May 2024."),
        (0.5, False, f"{BY_MARKET_CAP}, at most 50.00 %: the excess is distributed among the others. Change in points"),
        (
            0.125,
            True,
            "The largest weight of 12.50 % cannot be kept with so few positions: all weights are equal. Change in",
        ),
    ],
)
def test_how_weights_are_made_is_said_with_the_limit_of_their_run(
    database: Database, max_weight: float | None, is_exceeded: bool, said: str
) -> None:
    with database.connect() as connection:
        fill(connection, 3)
        add_republish(connection, DAY, max_weight=max_weight)
        connection.execute("UPDATE analytics_portfolio_allocation SET is_max_weight_exceeded = %s", (is_exceeded,))
    page = text_of(page_of(database))
    assert said in page
    assert (BY_MARKET_CAP in page) != is_exceeded


def test_how_weights_were_made_is_not_said_where_their_run_is_not_logged(database: Database) -> None:
    with database.connect() as connection:
        fill(connection, 3)
        connection.execute("DELETE FROM logs_pipeline_run")
    page = text_of(page_of(database))
    assert "Change in points since 9 May 2024." in page
    assert "Weight = market cap" not in page


def test_an_unavailable_return_is_not_a_number(database: Database) -> None:
    with database.connect() as connection:
        add_trends(connection, DAY)
        connection.execute(
            "UPDATE analytics_trending_sectors SET return_pct = NULL, rank = NULL, is_trending = false,"
            " unavailable_reason = 'no bar on 2024-04-12' WHERE etf_ticker = 'XLRE' AND period_days = 20"
        )
    rows = {row[1]: row for row in tables_in(page_of(database))["sectors"]}
    assert rows["XLRE"][4] == "n/a"
    assert list(rows)[-1] == "XLRE"


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ("2024-05-13T12:00", "Fresh: the last completed session"),  # Monday before the open
        ("2024-05-13T21:00", "1 session behind 13 May 2024"),
        ("2024-05-28T12:00", "10 sessions behind 24 May 2024"),  # the day after Memorial Day
    ],
)
def test_freshness_counts_sessions(database: Database, now: str, said: str) -> None:
    with database.connect() as connection:
        add_trends(connection, DAY)
    made = dt.datetime.fromisoformat(now).replace(tzinfo=dt.UTC)
    assert said in text_of(page_of(database, now=made))


def test_an_earlier_date_has_its_own_page(database: Database) -> None:
    with database.connect() as connection:
        add_origin(connection, "real")
        add_trends(connection, DAY_BEFORE)
        add_trends(connection, DAY)
        add_portfolio(connection, DAY_BEFORE, 2)
    said = text_of(page_of(database, DAY_BEFORE))
    assert "Thursday, 9 May 2024" in said
    assert "Page of the past: the newest results are of 10 May 2024" in said


def test_without_results_the_command_is_named(database: Database) -> None:
    with pytest.raises(DataIncompleteError, match="there are no results yet: run .*daily_pipeline"):
        page_of(database)


def test_of_a_date_without_results_the_nearest_are_named(database: Database) -> None:
    with database.connect() as connection:
        for day in (DAY_BEFORE, DAY, dt.date(2024, 3, 1), dt.date(2024, 6, 3)):
            add_trends(connection, day)
    with pytest.raises(
        UsageError, match="no results of 2024-05-13: the nearest are of 2024-05-09, 2024-05-10, 2024-06-03"
    ):
        page_of(database, dt.date(2024, 5, 13))


def test_look_ahead_facts_are_counted_and_named(database: Database) -> None:
    with database.connect() as connection:
        fill(connection, 12)
    page = page_of(database)
    assert "2 of 12 positions (5.56 % of the weight) use a fact that was dated after 10 May 2024." in text_of(page)
    assert [row[0] for row in tables_in(page)["look-ahead-table"]] == ["T14", "T15"]


def test_provenance_names_the_run_and_what_it_read(database: Database) -> None:
    with database.connect() as connection:
        fill(connection, 12)
    rows = {row[0]: row for row in tables_in(page_of(database))["provenance-table"]}
    trends = rows["analytics_trending_sectors"]
    assert trends[1:4] == ["33", "run-1", "stage3_trending_sectors"]
    assert trends[5:] == [
        "0.3.0+abc1234",
        "worker-1",
        "staging bars 12, quotes 3; holdings of 2024-05-09 to 2024-05-10",
    ]


def test_the_page_needs_no_right_but_to_read(database: Database) -> None:
    with database.connect() as connection:
        fill(connection, 12)
        ((name,),) = connection.execute("SELECT current_database()")
        connection.execute(
            "DO $$ BEGIN CREATE ROLE page_reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        connection.execute("GRANT spark_app_reader TO page_reader")
        connection.execute(f"ALTER ROLE page_reader IN DATABASE {name} SET role = 'spark_app_reader'".encode())
        connection.execute("ALTER ROLE page_reader PASSWORD 'reads only'")
    reader = Database({**database.parameters, "user": "page_reader"}, "reads only", database.retry_policy)
    with reader.connect() as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("spark_app_reader",)
    assert "12 positions" in text_of(page_of(reader))
