"""Retention: what is old goes, what a later run or a kept date needs stays, and the tables say the same as before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Row, SparkSession

from spark_app.errors import AlreadyRunningError, UsageError
from spark_app.ingestion.charts import missing_bars
from spark_app.operations.retention import apply_retention, describe_loss, plan_retention
from spark_app.operations.verify_data import verify
from spark_app.pipeline.result import StageReport
from spark_app.pipeline.run import Run
from spark_app.storage.postgres.locks import stage_lock, tables_exclusive_lock
from spark_app.storage.postgres.retention import Cut
from spark_app.storage.postgres.run_log import RunKey
from tests.declared import STAGES
from tests.emulator import Snapshot
from tests.emulator.market import NEW_YORK
from tests.integration.expected import Rows, sessions_ending
from tests.integration.fetch_market import AS_OF, LAST_DAY, MORNING_AFTER, TICKERS
from tests.integration.fetch_world import each_once
from tests.integration.world import World, without_text
from tests.operations.installation import WINNERS, installation, trending_market

EARLY = dt.date(2024, 2, 2)
EARLY_MORNING = dt.datetime(2024, 2, 3, 9, tzinfo=dt.UTC)
FIRST_KEPT = dt.date(2024, 3, 18)
LATER_KEPT = dt.date(2024, 3, 25)
SPLIT_DAY = dt.date(2024, 2, 9)
LISTED = dt.date(2024, 4, 1)
FUTURE = dt.timedelta(days=40)
QUOTED_ONCE, NEW_LISTING = WINNERS[0], WINNERS[1]
"""QUOTED_ONCE has no quote after the early run, and splits soon after it."""


pytestmark = pytest.mark.usefixtures("no_settings_from_outside")


@dataclass(frozen=True)
class Story:
    """What was seen before retention, of retention, and after it."""

    world: World
    run: Run
    dry: tuple[Cut, ...]
    loss: str
    files: Mapping[str, int]
    """Of each staging table afterwards."""
    before: Mapping[str, Rows]
    after: Mapping[str, Rows]
    bars: Sequence[Row]
    """Staging's bars afterwards."""
    recomputed: Mapping[str, Rows]
    missing: Mapping[str, tuple[bool, bool]]
    """Whether a backfill would have asked for a ticker, before and after."""
    asked: Mapping[str, int]
    """What a next run asked."""


@pytest.fixture(scope="module")
def world(open_folder: Path, spark: SparkSession) -> Iterator[World]:
    """Good runs months apart; in between a stock split, another was listed, and the funds' holdings are new."""
    market = trending_market(LAST_DAY, 140)
    with installation(open_folder, market) as opened:
        market.bars[NEW_LISTING] = tuple(bar for bar in market.bars[NEW_LISTING] if bar.trade_date >= LISTED)
        # Twice as high before the split, which then explains the whole step: nothing is reported.
        market.add_split(QUOTED_ONCE, SPLIT_DAY, 0.5)
        del market.events[QUOTED_ONCE]
        newest_holdings, newest_quotes = market.holdings, market.quotes
        market.quotes = {t: q._replace(quoted_at=_evening(EARLY)) for t, q in newest_quotes.items()}
        market.holdings = _snapshots(newest_holdings, dt.date(2023, 12, 29))
        ran(opened.run(spark, EARLY, stages=[STAGES[1]], now=EARLY_MORNING))
        market.holdings = _snapshots(newest_holdings, dt.date(2024, 1, 31))
        ran(opened.run(spark, EARLY, now=EARLY_MORNING, universe="all"))
        market.add_split(QUOTED_ONCE, SPLIT_DAY, 2.0)
        market.holdings = newest_holdings
        market.quotes = newest_quotes | {QUOTED_ONCE: market.quotes[QUOTED_ONCE]}
        ran(opened.run(spark, FIRST_KEPT, now=MORNING_AFTER, universe="all"))
        # Of the same morning: what it needs of holdings is there.
        others = [stage for stage in STAGES if stage != STAGES[1]]
        ran(opened.run(spark, AS_OF, stages=others, now=MORNING_AFTER, universe="all"))
        yield opened


@pytest.fixture(scope="module")
def story(world: World, spark: SparkSession) -> Story:
    with world.database.connect() as connection:
        for age in (1, 39, 50):
            said = "INSERT INTO logs_consumer_error (error_msg, received_at) VALUES (%s, now() - %s)"
            connection.execute(said, (f"{age} days old", dt.timedelta(days=age) - FUTURE))
    run = later(world, spark)
    before, missing_before = world.tables(), missing(run)
    dry = plan_retention(run, world.owner)
    assert world.tables() == before
    assert plan_retention(run, world.owner).cuts == dry.cuts
    apply_retention(run, world.owner, dry)
    after, missing_after = world.tables(), missing(later(world, spark))
    loss = describe_loss(run, dry)
    files = {table: run.staging.count_files(table) for table in ("fetches", "bars", "holdings", "quotes")}
    bars = run.staging.read("bars").collect()
    for day in (FIRST_KEPT, AS_OF):
        ran(world.run(spark, day, now=MORNING_AFTER, stages=[STAGES[2], STAGES[4]]))
    recomputed = world.tables()
    asked = next_run(world, spark, run.request.now)
    both = {ticker: (missing_before[ticker], missing_after[ticker]) for ticker in missing_before}
    return Story(world, run, dry.cuts, loss, files, before, after, bars, recomputed, both, asked)


def _snapshots(holdings: Mapping[str, Snapshot], day: dt.date) -> dict[str, Snapshot]:
    return {fund: snapshot._replace(as_of_date=day) for fund, snapshot in holdings.items()}


def _evening(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(16), tzinfo=NEW_YORK)


def ran(reports: Mapping[str, StageReport]) -> None:
    assert {report.exit_code for report in reports.values()} == {0}, reports


def later(world: World, spark: SparkSession, **options: Any) -> Run:
    """A run 40 days after everything was fetched, which keeps the sessions from `FIRST_KEPT` on."""
    now = dt.datetime.now(dt.UTC) + FUTURE
    keep = {"price_history_days": (now.date() - FIRST_KEPT).days, "vacuum_hours": 0, "compact_above_files": 1}
    return world.open(spark, AS_OF, now=now, settings={"retention": keep}, **options)


def missing(run: Run) -> dict[str, bool]:
    """Say whether a backfill would ask for a young stock over 50 sessions, and for a fund over 80."""
    return {NEW_LISTING: would_ask(run, NEW_LISTING, 50), "XLK": would_ask(run, "XLK", 80)}


def would_ask(run: Run, ticker: str, days: int) -> bool:
    return ticker in missing_bars(run.asking(days=days), [ticker]).missing


def next_run(world: World, spark: SparkSession, now: dt.datetime) -> Mapping[str, int]:
    """What the next run of the fetching stages asks for; it may use what is still fresh."""
    world.emulator.log.clear()
    options = {"now": now, "refresh": False, "universe": "all"}
    ran(world.run(spark, AS_OF, stages=[STAGES[0], STAGES[3]], **options))
    return dict(world.emulator.log.tickers("chart"))


def staged(story: Story, table: str) -> list[Any]:
    return story.run.staging.read(table).collect()


def test_only_sessions_before_the_kept_ones_are_gone_from_the_price_tables(story: Story) -> None:
    for table in ("collected_daily_etf_ohlc", "collected_daily_benchmark_ohlc", "collected_daily_stock_history"):
        kept = {key: row for key, row in story.before[table].items() if key[1] >= FIRST_KEPT}
        assert len(kept) < len(story.before[table])
        assert story.after[table] == kept


def test_analytics_are_kept_for_ever(story: Story) -> None:
    for table in ("analytics_trending_sectors", "analytics_portfolio_allocation", "analytics_portfolio_exclusion"):
        assert story.after[table] == story.before[table]


def test_results_of_kept_dates_come_out_the_same_again(story: Story) -> None:
    for table, rows in story.after.items():
        assert without_text(story.recomputed[table]) == without_text(rows)
    assert story.after["analytics_portfolio_allocation"][AS_OF, QUOTED_ONCE]["market_cap"] > 0


def test_holdings_keep_the_snapshot_that_stands_at_the_first_kept_session(story: Story) -> None:
    days = {key[2] for key in story.after["collected_meta_etf"]}
    assert days == {dt.date(2024, 1, 31), dt.date(2024, 4, 30)}
    assert {row["snapshot_date"] for row in staged(story, "holdings")} == days


def test_bars_reach_back_to_what_returns_and_market_caps_need(story: Story) -> None:
    first: dict[str, dt.date] = {}
    for row in story.bars:
        first[row["ticker"]] = min(row["trade_date"], first.get(row["ticker"], row["trade_date"]))
    assert first["XLK"] == sessions_ending(FIRST_KEPT, 21)[0]
    assert first[QUOTED_ONCE] == EARLY
    assert first[NEW_LISTING] == LISTED


def test_rows_that_newer_ones_replaced_are_gone(story: Story) -> None:
    keys = [(row["ticker"], row["trade_date"]) for row in story.bars]
    assert len(keys) == len(set(keys))
    assert {cut.reason for cut in story.dry if cut.table == "staging bars"} == {"price history", "superseded rows"}


def test_a_next_run_asks_for_everybody_once_and_for_nothing_that_was_removed(story: Story) -> None:
    assert story.asked == each_once(TICKERS)


def test_what_is_gone_is_not_taken_for_a_listing_and_a_listing_is_still_known(story: Story) -> None:
    assert story.missing[NEW_LISTING] == (False, False)
    assert story.missing["XLK"] == (False, True)


def test_old_errors_go_and_young_ones_stay(story: Story) -> None:
    left = story.world.query("SELECT error_msg FROM logs_consumer_error WHERE error_msg LIKE '%% days old' ORDER BY 1")
    assert left == [("1 days old",)]


def test_staging_is_compacted(story: Story) -> None:
    assert story.files == {"fetches": 1, "bars": 1, "holdings": 1, "quotes": 1}


def test_what_cannot_be_rebuilt_is_said(story: Story) -> None:
    assert story.loss.startswith(f"analytics of 1 dates from {EARLY} to {EARLY} cannot be rebuilt from staging")
    assert "db dump" in story.loss


def test_a_second_retention_finds_nothing(story: Story, spark: SparkSession) -> None:
    again = plan_retention(story.run, story.world.owner)
    assert [cut for cut in again.cuts if cut.table != "staging fetches"] == []


def test_the_tables_pass_every_check_afterwards(story: Story, spark: SparkSession) -> None:
    findings = verify(story.world.open(spark, AS_OF, now=MORNING_AFTER))
    assert [finding for finding in findings if finding.passed is False] == []


def test_retention_and_runs_keep_out_of_each_others_way(story: Story) -> None:
    database, key = story.world.database, RunKey("a-run", STAGES[0], AS_OF, {})
    with stage_lock(database, key), pytest.raises(AlreadyRunningError), tables_exclusive_lock(database):
        pass
    with tables_exclusive_lock(database), pytest.raises(AlreadyRunningError), stage_lock(database, key):
        pass


def test_a_time_of_which_replaced_rows_are_gone_is_refused(story: Story, spark: SparkSession) -> None:
    kept_from = story.run.request.now - dt.timedelta(days=30)
    story.world.open(spark, AS_OF, known_at=kept_from + dt.timedelta(minutes=1))
    with pytest.raises(UsageError, match=f"replaced before {kept_from:%Y-%m-%d %H:%M} UTC is no longer kept"):
        story.world.open(spark, AS_OF, known_at=kept_from - dt.timedelta(minutes=1))


def test_nothing_is_removed_that_is_kept_for_ever(story: Story, spark: SparkSession) -> None:
    names = ("fetches_days", "superseded_days", "price_history_days", "consumer_errors_days")
    now = dt.datetime.now(dt.UTC) + 100 * FUTURE
    keep = {"retention": dict.fromkeys(names, "keep")}
    run = story.world.open(spark, AS_OF, now=now, settings=keep)
    plan = plan_retention(run, story.world.owner)
    assert plan.cuts == ()
    assert plan.shortened.isEmpty()
    assert describe_loss(run, plan) == ""


def test_what_is_fresh_still_serves_although_its_oldest_bars_are_gone(story: Story, spark: SparkSession) -> None:
    world, now = story.world, dt.datetime.now(dt.UTC)
    keep = {"price_history_days": (now.date() - LATER_KEPT).days}
    run = world.open(spark, AS_OF, now=now, settings={"retention": keep})
    plan = plan_retention(run, world.owner)
    assert "XLK" in {row["ticker"] for row in plan.shortened.collect()}
    apply_retention(run, world.owner, plan)
    assert next_run(world, spark, MORNING_AFTER) == {}
    assert min(key[1] for key in world.table("collected_daily_etf_ohlc")) >= LATER_KEPT
    # Its fetch of just now reached back to sessions whose bars are gone since.
    assert would_ask(run, "XLK", 55)
