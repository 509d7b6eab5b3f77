"""What `show` says: why there is no portfolio, what is look-ahead or not known, and since when data is stale."""

from __future__ import annotations

import csv
import datetime as dt
import json

import pytest

from spark_app.errors import UsageError
from spark_app.results.served import Results, read_results
from spark_app.results.show import as_csv, as_json, as_text, notes_of
from spark_app.storage.postgres.database import Database

DAY = dt.date(2023, 6, 30)
SATURDAY = dt.datetime(2023, 7, 1, 12, tzinfo=dt.UTC)


def results_of(database: Database, as_of: dt.date | None = None, now: dt.datetime = SATURDAY) -> Results:
    results = read_results(database, as_of, now)
    assert results is not None
    return results


def render_results(database: Database) -> str:
    return as_text(results_of(database))


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


def note_republish(database: Database, *dates: dt.date, basis_sessions: int = 20) -> None:
    """Log a run of `republish` that ended with the last of its dates."""
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO logs_pipeline_run (run_id, stage, as_of_date, status, parameters, started_at, finished_at,"
            " settings, inputs) VALUES ('rebuilding', 'republish', %s, 'ok', '{\"days\": 21}', now(), now(),"
            " jsonb_build_object('portfolio', jsonb_build_object('basis_sessions', %s::integer)),"
            " jsonb_build_object('portfolio_dates', %s::text[]))",
            (dates[-1], basis_sessions, [str(date) for date in dates]),
        )


def test_without_a_run_of_stage_5_the_portfolio_is_not_computed_yet(judged: Database) -> None:
    assert "Not computed yet." in render_results(judged)


@pytest.mark.parametrize("basis_sessions", [20, 5])
def test_without_a_trending_sector_that_is_the_reason(judged: Database, basis_sessions: int) -> None:
    note_allocation(judged, basis_sessions)
    with judged.connect() as connection:
        connection.execute("UPDATE analytics_trending_sectors SET period_days = %s", (basis_sessions,))
    assert f"No position: no sector trends over {basis_sessions} sessions." in render_results(judged)


def test_without_a_known_return_over_the_basis_that_is_the_reason(judged: Database) -> None:
    note_allocation(judged, 20)
    with judged.connect() as connection:
        connection.execute(
            "UPDATE analytics_trending_sectors SET return_pct = NULL, rank = NULL, is_trending = false,"
            " unavailable_reason = 'no bar on 2023-06-01'"
        )
    assert "No position: no return of a sector over 20 sessions is known." in render_results(judged)


def test_without_the_holdings_of_a_trending_sector_that_is_the_reason(judged: Database) -> None:
    note_allocation(judged, 20)
    with judged.connect() as connection:
        connection.execute("UPDATE analytics_trending_sectors SET return_pct = 3, is_trending = true")
    trends = "No position: XLK trends over 20 sessions, but"
    assert f"{trends} no holdings of this fund are known." in render_results(judged)
    with judged.connect() as connection:
        connection.execute(
            "INSERT INTO collected_meta_etf (etf_ticker, holding_ticker, as_of_date, etf_type, holding_percent,"
            " holding_rank, coverage_percent, source, fetched_at, run_id)"
            " VALUES ('XLK', 'AAPL', %s, 'sector', 20, 1, 20, 'yahoo', now(), 'run')",
            (DAY,),
        )
    said = f"{trends} the portfolio was computed before these were known."
    assert said in render_results(judged)


def test_a_date_that_republish_computed_without_a_position_is_computed(judged: Database) -> None:
    note_republish(judged, DAY, dt.date(2023, 7, 3))
    assert "No position: no sector trends over 20 sessions." in render_results(judged)


def test_where_the_run_is_not_logged_the_excluded_stocks_are_the_reason(judged: Database) -> None:
    with judged.connect() as connection:
        connection.execute(
            "INSERT INTO analytics_portfolio_exclusion (as_of_date, ticker, sector, reason, detail, run_id)"
            " VALUES (%s, 'AAPL', 'Information Technology', 'not_trending', 'as tested', 'of another database')",
            (DAY,),
        )
    assert "No position: every stock of the trending sectors is excluded (1 not_trending)." in render_results(judged)


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


@pytest.fixture
def served(judged: Database) -> Database:
    """The date, the session before it and the one after it, with two positions and the holdings of three funds."""
    with judged.connect() as connection:
        for day in ("2023-06-29", "2023-07-03"):
            connection.execute(
                "INSERT INTO analytics_trending_sectors (as_of_date, etf_ticker, period_days, sector_name, return_pct,"
                " benchmark_return_pct, is_trending, rank, run_id)"
                " VALUES (%s, 'XLK', 20, 'Information Technology', 3, 2, true, 1, 'run')",
                (day,),
            )
        for ticker, name, weight, basis in (
            ("MSFT", "=HYPERLINK(1)", "0.25", "later_quote"),
            ("AAPL", "Apple", "0.75", "quoted"),
        ):
            connection.execute(
                "INSERT INTO analytics_portfolio_allocation (as_of_date, ticker, company_name, sector, market_cap,"
                " market_cap_basis, is_trending_5d, is_trending_10d, is_trending_20d, return_20d, portfolio_weight,"
                " allocation_reason, run_id)"
                " VALUES (%s, %s, %s, 'Energy', 1000, %s, true, true, true, 4.5, %s, 'as tested', 'run')",
                (DAY, ticker, name, basis, weight),
            )
        for fund, snapshot, source, coverage in (
            ("XLK", "2023-06-01", "yahoo", 61),
            ("XLK", "2023-06-30", "yahoo", 62),
            ("XLK", "2023-07-05", "issuer", 100),
            ("XLE", "2023-07-05", "issuer", 100),
            ("XLE", "2023-08-05", "yahoo", 60),
            ("XLF", "2023-05-02", "yahoo", 55),
        ):
            connection.execute(
                "INSERT INTO collected_meta_etf (etf_ticker, holding_ticker, as_of_date, etf_type, sector_name,"
                " holding_name, holding_percent, holding_rank, coverage_percent, source, fetched_at, run_id)"
                " VALUES (%s, 'AAPL', %s, 'sector', 'as tested', 'Apple', 20, 1, %s, %s, now(), 'run')",
                (fund, snapshot, coverage, source),
            )
    return judged


def test_the_basis_is_that_of_the_run_that_computed_the_portfolio_last(served: Database) -> None:
    note_allocation(served, 20)
    assert results_of(served, DAY).basis_sessions == 20
    note_republish(served, dt.date(2023, 6, 29), DAY, basis_sessions=5)
    assert results_of(served, DAY).basis_sessions == 5


def test_the_basis_of_a_run_that_did_not_log_its_dates_is_found_by_its_rows(served: Database) -> None:
    note_allocation(served, 20)
    note_republish(served, dt.date(2023, 7, 3), basis_sessions=5)
    with served.connect() as connection:
        connection.execute("UPDATE logs_pipeline_run SET inputs = '{}'")
        connection.execute("UPDATE analytics_portfolio_allocation SET run_id = 'rebuilding'")
    assert results_of(served, DAY).basis_sessions == 5


def test_look_ahead_facts_and_funds_known_by_their_ten_largest_are_named(served: Database) -> None:
    on_monday = dt.datetime(2023, 7, 3, 23, tzinfo=dt.UTC)
    assert notes_of(results_of(served, DAY, on_monday)) == [
        "look-ahead: holdings of 2023-07-05 used for 2023-06-30 (XLE)",
        "look-ahead: market caps from quotes after 2023-06-30 (MSFT)",
        "only the ten largest holdings are known, 55 to 62 % of a fund's weight (XLF, XLK)",
    ]


def test_where_the_issuers_files_are_complete_and_of_the_time_there_is_nothing_to_note(served: Database) -> None:
    with served.connect() as connection:
        connection.execute(
            "UPDATE collected_meta_etf SET source = 'issuer', as_of_date = '2023-06-30' WHERE etf_ticker = 'XLF'"
        )
        connection.execute("DELETE FROM collected_meta_etf WHERE etf_ticker <> 'XLF'")
        connection.execute("UPDATE analytics_portfolio_allocation SET market_cap_basis = 'quoted'")
    assert notes_of(results_of(served, DAY, dt.datetime(2023, 7, 3, 23, tzinfo=dt.UTC))) == []


@pytest.mark.parametrize(
    ("now", "note"),
    [
        # Before the open of Wednesday Monday is the newest session: Tuesday was a holiday.
        ("2023-07-05T12:00", None),
        ("2023-07-05T22:00", "stale since 2023-07-05: the newest results, of 2023-07-03, are 1 session behind"),
        ("2023-07-10T22:00", "stale since 2023-07-05: the newest results, of 2023-07-03, are 4 sessions behind"),
    ],
)
def test_data_is_stale_by_sessions_of_the_calendar(served: Database, now: str, note: str | None) -> None:
    said = notes_of(results_of(served, None, dt.datetime.fromisoformat(f"{now}+00:00")))
    assert [line for line in said if "stale" in line] == ([note] if note else [])


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("2023-07-01", "the nearest served are 2023-06-30 and 2023-07-03"),
        ("2023-01-03", "the nearest date served is 2023-06-29"),
        ("2024-01-03", "the nearest date served is 2023-07-03"),
    ],
)
def test_a_date_without_results_is_refused_with_the_nearest_ones(served: Database, asked: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=f"no results for {asked}: {nearest}$"):
        read_results(served, dt.date.fromisoformat(asked), SATURDAY)


def test_json_has_everything_that_the_text_has(served: Database) -> None:
    found = json.loads(as_json(results_of(served, DAY, dt.datetime(2023, 7, 6, 22, tzinfo=dt.UTC))))
    assert (found["as_of_date"], found["sessions_behind"], found["stale_since"]) == ("2023-06-30", 2, "2023-07-05")
    assert [(p["ticker"], p["portfolio_weight"]) for p in found["portfolio"]] == [
        ("AAPL", "0.75000000"),
        ("MSFT", "0.25000000"),
    ]
    assert [(s["etf_ticker"], s["period_days"], s["return_pct"]) for s in found["sectors"]] == [
        ("XLK", 20, "-1.000000")
    ]
    assert found["look_ahead"] == {"holdings": {"XLE": "2023-07-05"}, "quotes": ["MSFT"]}
    assert found["ten_largest_only"] == {"XLF": 55.0, "XLK": 62.0}


def test_csv_is_one_table_and_no_name_is_a_formula(served: Database) -> None:
    rows = list(csv.DictReader(as_csv(results_of(served, DAY), "portfolio").splitlines()))
    assert [(r["as_of_date"], r["ticker"], r["company_name"], r["portfolio_weight"]) for r in rows] == [
        ("2023-06-30", "AAPL", "Apple", "0.75000000"),
        ("2023-06-30", "MSFT", "'=HYPERLINK(1)", "0.25000000"),
    ]
    (sector,) = csv.DictReader(as_csv(results_of(served, DAY), "sectors").splitlines())
    assert (sector["etf_ticker"], sector["return_pct"], sector["is_trending"]) == ("XLK", "-1.000000", "False")
