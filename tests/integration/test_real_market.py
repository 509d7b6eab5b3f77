"""The pipeline on real prices: every served number against an independent calculation.

One installation lives through five runs, in this order: 2021-09-30 by spark-submit; 2022-06-15, when everything
falls; 2021-09-30 again; 2018-03-05 with market caps of that year; 2021-04-13, with quotes from before and after.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.declared import STAGES
from tests.emulator import YahooEmulator
from tests.integration.expected import universe
from tests.integration.real_market import QUOTE_DAYS, load_real_market
from tests.integration.real_story import (
    FUNDS,
    After,
    Story,
    assert_all_as_expected,
    assert_portfolio_as_expected,
    assert_prices_and_holdings_as_expected,
    assert_stock_history_as_expected,
    assert_trends_as_expected,
)
from tests.integration.world import open_world

pytestmark = pytest.mark.campaign

ENERGY_LEADS = dt.date(2021, 9, 30)
ALL_FALL = dt.date(2022, 6, 15)
SPRING_2018 = dt.date(2018, 3, 5)
SPRING_2021 = dt.date(2021, 4, 13)
EARLY, LATE = QUOTE_DAYS
ALL_POSITIONS = {"portfolio": {"top_n_per_sector": 100}}
# The holdings are those of one day anyway.
WITHOUT_HOLDINGS = [stage for stage in STAGES if stage != "stage2_etf_holdings"]


@pytest.fixture(scope="module")
def story(shared_data: Path, home: Path) -> Iterator[Story]:
    real = load_real_market(shared_data / "market_data")
    with YahooEmulator(real.market) as emulator, open_world(home, emulator) as world:
        yield Story(world, real, {})


@pytest.fixture(scope="module")
def submitted(story: Story, home: Path) -> After:
    story.serve_quotes(LATE)
    arguments = ["--as-of", str(ENERGY_LEADS), "--source", "yahoo", "--delay", "0", "--json", str(home / "run.json")]
    done = story.world.submit("daily_pipeline", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return story.after(ENERGY_LEADS, json.loads((home / "run.json").read_text()) | {"stderr": done.stderr})


@pytest.fixture(scope="module")
def fallen(submitted: After, story: Story, spark: SparkSession) -> After:
    return story.run(spark, ALL_FALL, LATE)


@pytest.fixture(scope="module")
def repeated(fallen: After, story: Story, spark: SparkSession) -> After:
    return story.run(spark, ENERGY_LEADS, LATE)


@pytest.fixture(scope="module")
def early(repeated: After, story: Story, spark: SparkSession) -> After:
    return story.run(spark, SPRING_2018, EARLY, stages=WITHOUT_HOLDINGS)


@pytest.fixture(scope="module")
def mixed(early: After, story: Story, spark: SparkSession) -> After:
    after = story.run(spark, SPRING_2021, LATE, stages=WITHOUT_HOLDINGS, settings=ALL_POSITIONS)
    return replace(after, known=replace(after.known, top_n=100))


def test_spark_submit_serves_the_prices_and_holdings_of_the_funds(submitted: After) -> None:
    assert_prices_and_holdings_as_expected(submitted, ENERGY_LEADS)
    assert len(submitted.tables["collected_daily_etf_ohlc"]) == 12 * 21
    assert {row["source"] for row in submitted.tables["collected_meta_etf"].values()} == {"issuer"}


def test_spark_submit_serves_the_trends(submitted: After) -> None:
    assert_trends_as_expected(submitted, ENERGY_LEADS)
    assert len(submitted.tables["analytics_trending_sectors"]) == 33


def test_spark_submit_serves_the_stocks_of_the_one_sector_that_trends(submitted: After) -> None:
    assert_stock_history_as_expected(submitted, ENERGY_LEADS)
    assert {row["sector"] for row in submitted.tables["collected_daily_stock_history"].values()} == {"Energy"}


def test_spark_submit_serves_the_portfolio(submitted: After) -> None:
    assert_portfolio_as_expected(submitted, ENERGY_LEADS)
    assert {key[1] for key in submitted.tables["analytics_portfolio_allocation"]} == {
        "COP",
        "DVN",
        "EOG",
        "FANG",
        "MRO",
    }
    reasons = {row["reason"] for row in submitted.tables["analytics_portfolio_exclusion"].values()}
    assert reasons == {"missing_bars", "not_trending", "below_top_n"}


def test_the_summary_of_the_run_tells_what_was_done(submitted: After) -> None:
    assert submitted.summary["exit_code"] == 0
    stages = {stage["stage"]: stage for stage in submitted.summary["stages"]}
    assert [stage["status"] for stage in stages.values()] == ["ok"] * 5
    assert stages["stage1_etf_ohlc"]["rows_inserted"] == 14 * 21
    assert stages["stage3_trending_sectors"]["rows_inserted"] == 33
    assert stages["stage5_portfolio_allocation"]["rows_inserted"] == 22
    assert submitted.summary["stderr"] == ""


def test_each_ticker_is_asked_for_once(submitted: After) -> None:
    asked = list(itertools.chain.from_iterable(submitted.requests["chart"]))
    assert sorted(asked) == sorted({*FUNDS, "QQQ", *universe(submitted.known, ENERGY_LEADS)})
    assert sorted(submitted.requests["workbook"]) == sorted((fund,) for fund in FUNDS)
    assert not submitted.requests["holdings"]
    assert not submitted.requests["other"]


def test_each_worker_process_asks_for_one_cookie_and_one_crumb(submitted: After) -> None:
    assert 1 <= len(submitted.requests["cookie"]) <= 2
    assert len(submitted.requests["crumb"]) == len(submitted.requests["cookie"])


def test_quotes_are_asked_for_fifty_at_a_time(mixed: After) -> None:
    asked = mixed.requests["quote"]
    assert sorted(len(tickers) for tickers in asked) == [41, 50, 50, 50]
    assert set(itertools.chain.from_iterable(asked)) == universe(mixed.known, SPRING_2021)


def test_a_day_without_a_trend_has_its_33_rows_and_an_empty_portfolio(fallen: After) -> None:
    assert_prices_and_holdings_as_expected(fallen, ALL_FALL)
    assert_trends_as_expected(fallen, ALL_FALL)
    trends = fallen.in_table("analytics_trending_sectors", ALL_FALL)
    assert (len(trends), any(row["is_trending"] for row in trends.values())) == (33, False)
    assert not fallen.in_table("analytics_portfolio_allocation", ALL_FALL)
    assert not fallen.in_table("analytics_portfolio_exclusion", ALL_FALL)
    assert not fallen.requests["quote"]


def test_a_date_that_is_run_again_changes_nothing(submitted: After, repeated: After) -> None:
    for stage, report in repeated.summary.items():
        changed = (report.rows_inserted, report.rows_updated, report.rows_removed)
        assert (stage, *changed) == (stage, 0, 0, 0)
        assert report.rows_unchanged > 0
    for table, rows in submitted.tables.items():
        assert {key: repeated.tables[table][key] for key in rows} == rows


def test_the_run_log_counts_as_the_reports_do(repeated: After, story: Story) -> None:
    for stage, report in repeated.summary.items():
        text = (
            "SELECT rows_inserted, rows_updated, rows_unchanged FROM logs_pipeline_run WHERE run_id = %s AND stage = %s"
        )
        assert story.world.query(text, report.run_id, stage) == [(0, 0, report.rows_unchanged)]


def test_later_bars_in_staging_do_not_change_an_earlier_date(early: After) -> None:
    assert_all_as_expected(early, SPRING_2018)
    # XLC began to trade in June of that year.
    young = early.tables["analytics_trending_sectors"][SPRING_2018, "XLC", 20]
    assert (young["return_pct"], young["rank"]) == (None, None)


def test_market_caps_from_before_and_after_the_date(mixed: After) -> None:
    assert_all_as_expected(mixed, SPRING_2021)
    held = mixed.in_table("analytics_portfolio_allocation", SPRING_2021)
    assert {row["market_cap_basis"] for row in held.values()} == {"quoted", "later_quote"}


def test_splits_between_a_quote_and_the_date_are_in_the_market_cap(mixed: After) -> None:
    held = mixed.in_table("analytics_portfolio_allocation", SPRING_2021)
    # The cap of 2018-02-08 x close / price of that day x the split of 2021-07-20, which the close is based on already.
    assert held[SPRING_2021, "NVDA"]["market_cap"] == pytest.approx(138652800000 * 156.794996 / 217.52 * 4, abs=1000)


def test_other_portfolio_settings(mixed: After, story: Story, spark: SparkSession) -> None:
    portfolio_settings = {"basis_sessions": 10, "top_n_per_sector": 4, "max_weight": "0.2"}
    reports = story.world.run(
        spark, SPRING_2021, stages=["stage5_portfolio_allocation"], settings={"portfolio": portfolio_settings}
    )
    assert reports["stage5_portfolio_allocation"].exit_code == 0
    known = replace(mixed.known, basis=10, top_n=4, max_weight=Decimal("0.2"))
    assert_portfolio_as_expected(replace(mixed, known=known, tables=story.world.tables()), SPRING_2021)


def test_the_weights_of_every_date_sum_to_exactly_one(mixed: After, story: Story) -> None:
    text = "SELECT as_of_date, sum(portfolio_weight) FROM analytics_portfolio_allocation GROUP BY 1 ORDER BY 1"
    assert story.world.query(text) == [(day, Decimal(1)) for day in (SPRING_2018, SPRING_2021, ENERGY_LEADS)]
