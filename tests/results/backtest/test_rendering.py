"""The page of a backtest against SQL on its tables, and what it marks."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from dataclasses import replace

import pytest

from spark_app.backtest.details import work_out_details
from spark_app.backtest.engine import simulate
from spark_app.backtest.outcome import BENCHMARK, EQUAL_WEIGHT, STRATEGY, summarise
from spark_app.backtest.output.report import render_outcome
from spark_app.cli.jobs import JOBS
from spark_app.results.backtest.facts import Facts, facts_of
from spark_app.results.backtest.rendering import render_backtest
from spark_app.storage.postgres.database import Database
from tests.results.backtest.figures import differences, store
from tests.results.backtest.world import (
    LEDGER,
    found_in,
    full_facts,
    market_outcome,
    origin_of,
    plain_facts,
)
from tests.results.page.figures import tables_in


@pytest.fixture(scope="module")
def plain() -> Facts:
    return plain_facts()


@pytest.fixture(scope="module")
def full() -> Facts:
    return full_facts()


@pytest.fixture(scope="module")
def full_page(full: Facts) -> str:
    return render_backtest(full)


def text_of(page: str) -> str:
    """The words of the page without markup, each space single."""
    body = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)
    return " ".join(body.replace("&nbsp;", " ").split())


def test_every_figure_is_that_of_the_tables(database: Database) -> None:
    found = found_in(market_outcome())
    with database.connect() as connection:
        store(connection, found)
        assert differences(tables_in(render_backtest(facts_of(found, origin_of()))), connection) == []


def test_the_first_lines_compare_with_the_benchmark_and_equal_weight(plain: Facts) -> None:
    said = text_of(render_backtest(plain))
    ours, market = plain.summaries["strategy"]["cagr_pct"], plain.summaries[BENCHMARK]["cagr_pct"]
    assert ours < market
    assert (
        f"Against SPY −{market - ours:.2f} points a year SPY: {market:.2f} % a year. The strategy ends behind." in said
    )
    assert f"Strategy, net of 10 bp {ours:.2f} % a year" in said
    assert "it is behind SPY at any cost; it is behind equal weight at any cost." in said


def test_a_plain_page_marks_nothing(plain: Facts) -> None:
    page = render_backtest(plain)
    for absent in ("SYNTHETIC", "Unattainable", "look-ahead-table", "Not stored", "grid-table", "d-deflated"):
        assert absent not in page
    assert "No look-ahead counted" in page


def test_what_has_to_be_marked_is_marked_before_the_results(full_page: str) -> None:
    tables = tables_in(full_page)
    assert tables["look-ahead-table"] == [
        ["holdings dated later", "8,125", "10,000", "81.25", "70.00", "9"],
        ["either", "12,345", "12,345", "100.00", "100.00", "12"],
        ["members without prices", "40", "1,000", "4.00", "n/a", "3"],
    ]
    assert "<title>SYNTHETIC DATA: " in full_page
    results = full_page.index('class="tiles')
    for mark in ("Unattainable execution", "Unattainable.", "look-ahead-table", "Not stored in tables", "made up"):
        assert full_page.index(mark) < results
    assert "<funds>" not in full_page


def test_other_rules_and_luck_are_those_of_the_grid(full_page: str) -> None:
    rows = tables_in(full_page)["grid-table"]
    assert rows[0] == ["5", "daily", "8.71", "0.52", "−0.11", "86.20"]
    assert rows[8][4] == "n/a"
    assert "deflated Sharpe ratio of the best rule 0.31" in text_of(full_page)
    assert "probability of overfitting n/a" in text_of(full_page)


def test_the_interval_is_that_of_the_findings(plain: Facts) -> None:
    row = plain.differences[EQUAL_WEIGHT]
    shown = tables_in(render_backtest(plain))["differences-table"][1]
    assert shown == [
        "equal weight",
        *(f"{row[name]:+.2f}".replace("-", "−") for name in ("difference", "low", "high")),
        "below 0",
    ]


def test_a_portfolio_of_cash_alone_has_no_interval() -> None:
    outcome = market_outcome()
    assert len(outcome.schedule.sessions) > 2000
    cash = replace(outcome, paths={**outcome.paths, STRATEGY: simulate(outcome.prices, {}, outcome.plan.rules)})
    page = text_of(render_backtest(facts_of(found_in(cash), origin_of())))
    assert "No interval: there are fewer than 30 returns, or a portfolio has no volatility." in page
    assert "too few returns" not in page.lower()
    told = render_outcome(cash, summarise(cash), work_out_details(cash), origin="real")
    assert "SPY none (fewer than 30 returns, or no volatility)" in told


def test_the_moment_and_the_cost_that_were_asked_are_marked(full_page: str, plain: Facts) -> None:
    assert re.findall(r'<tr class="chosen"><th scope="row">([^<]*)', full_page)[1:] == ["same close (unattainable)"]
    assert "10 bp<small>asked</small>" in render_backtest(plain)
    assert "<small>asked</small>" not in full_page


def test_the_command_asks_for_the_same_backtest_again(full: Facts) -> None:
    words = shlex.split(full.command)
    assert words[1:6] == ["backtest", "--from", "2016-01-04", "--to", "2023-12-29"]
    known = {option.flag: option for option in JOBS["backtest"].all_options}
    rest = iter(words[2:])
    given = {word: None if (read := known[word].read) is None else read(next(rest)) for word in rest}
    assert given["--execution"] == "same_close"
    assert given["--cost-bps"] == 12.5
    assert given["--rank-periods"] == "20"
    assert given["--universe-file"] == "my <funds>.toml"
    assert {"--grid", "--probe"} <= given.keys()


def test_the_command_has_what_was_known_and_the_interest_of_cash() -> None:
    known_at = dt.datetime(2024, 1, 1, 21, 30, tzinfo=dt.UTC)
    facts = plain_facts(first=dt.date(2023, 9, 1), known_at=known_at, cash_percent=2.5)
    setting, _, *words = shlex.split(facts.command)
    assert setting == "SPARK_APP_BACKTEST__CASH_PERCENT=2.5"
    read = next(option.read for option in JOBS["backtest"].all_options if option.flag == "--known-at")
    assert read is not None
    assert read(words[words.index("--known-at") + 1]) == known_at


def test_long_backtests_have_a_row_a_year_behind_the_charts(plain: Facts) -> None:
    months = [dt.date(1850 + n // 12, n % 12 + 1, 28) for n in range(len(plain.sessions))]
    rows = tables_in(render_backtest(replace(plain, sessions=months)))["equity-table"]
    assert [row[0] for row in rows[:3]] == ["2017-09-28", "2016-12-28", "2015-12-28"]
    assert len(rows) == 168
    assert rows[1][1] == f"{plain.courses['strategy'].values[months.index(dt.date(2016, 12, 28))]:.4f}"


def test_a_backtest_of_less_than_a_year_says_so() -> None:
    facts = plain_facts(first=dt.date(2023, 9, 1))
    assert "Less than a year: yearly figures extrapolate" in text_of(render_backtest(facts))


def test_a_page_is_small(full_page: str) -> None:
    assert len(full_page.encode()) < 150_000


def test_a_ledger_without_look_ahead_is_shown_and_marks_nothing() -> None:
    rows = [{**LEDGER[0], "counted": 0, "share_pct": 0.0, "weight_pct": 0.0, "tickers": 0}, LEDGER[2]]
    page = render_backtest(replace(plain_facts(), ledger=rows))
    assert tables_in(page)["look-ahead-table"][0] == ["holdings dated later", "0", "10,000", "0.00", "0.00", "0"]
    assert "No look-ahead counted" in page
    assert "do not know how they fared" in page
