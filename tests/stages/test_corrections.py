"""What the settings correct, and what restatements show, reaches the portfolio."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_app.config.settings import load_settings
from spark_app.operations import republish
from spark_app.pipeline.request import Request
from spark_app.pipeline.run import Run
from spark_app.schemas import HOLDINGS, MEMBERSHIPS, QUOTES
from spark_app.stages import stage5_portfolio_allocation as stage5
from spark_app.stages.market import describe_unlisted, memberships_of, trends_of
from spark_app.storage.delta.staging import BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE
from spark_app.transforms.allocation import MarketFrames
from spark_app.transforms.options import PortfolioOptions
from tests.transforms.frames import NOON, bars_frame, frame, session


class Staged:
    """Staging with these tables."""

    def __init__(self, **tables: DataFrame) -> None:
        self.tables = tables
        self.versions_read: dict[str, int] = {}

    def read(self, table: str) -> DataFrame:
        return self.tables[table]


def run_on(spark: SparkSession, **tables: DataFrame) -> Run:
    staging: Any = Staged(**tables)
    nothing: Any = None
    return Run(Request("run", session(6), NOON), load_settings(), spark, staging, nothing)


def test_a_renamed_member_is_known_by_its_new_ticker(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_APP_CORRECTIONS__RENAMES", '[{"old": "SQ", "new": "XYZ", "date": "2025-01-21"}]')
    day = dt.date(2022, 6, 8)
    held = [("XLF", day, ticker, None, Decimal(1), NOON, "run", "test") for ticker in ("SQ", "JPM")]
    members = memberships_of(run_on(spark, **{HOLDINGS_TABLE: frame(spark, held, HOLDINGS)}))
    assert {row.ticker for row in members.collect()} == {"XYZ", "JPM"}


def test_the_first_session_of_a_fund_is_that_of_the_settings(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = session(6) + dt.timedelta(days=1)
    monkeypatch.setenv("SPARK_APP_CORRECTIONS__FIRST_SESSIONS", f'{{"XLB": "{later}"}}')
    run = run_on(spark, **{BARS_TABLE: bars_frame(spark, [("SPY", n, 10.0 + n) for n in range(7)])})
    reasons = {row.etf_ticker: row.unavailable_reason for row in trends_of(run).collect() if row.period_days == 5}
    assert (reasons["XLB"], reasons["XLK"]) == (f"listed since {later}", f"no bar on {session(6)}")
    assert describe_unlisted(run) == f"not listed yet: XLB (since {later})"


def test_share_classes_of_the_settings_and_measured_splits_decide_on_the_portfolio(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_APP_CORRECTIONS__SHARE_CLASSES", '[{"issuer": "Liberty", "tickers": ["LBTYA", "LBTYK"]}]')
    evening = dt.datetime.combine(session(4), dt.time(21), dt.UTC)
    # Listed is 10:1, and the closes became half of what they were.
    before = bars_frame(spark, [("A", n, 100.0) for n in range(5)], fetched_at=evening)
    after = bars_frame(spark, [("A", n, 50.0) for n in range(7)], splits={("A", 5): 10.0})
    tables = {BARS_TABLE: before.unionByName(after), QUOTES_TABLE: frame(spark, [], QUOTES)}
    seen: list[MarketFrames] = []

    def decide(market: MarketFrames, *_: object) -> DataFrame:
        seen.append(market)
        return market.bars

    monkeypatch.setattr(stage5, "portfolio_decisions", decide)
    options = PortfolioOptions(**load_settings().portfolio.model_dump())
    stage5.decide(run_on(spark, **tables), frame(spark, [], MEMBERSHIPS), [], options)
    (market,) = seen
    issuers = {row.ticker: row.issuer for row in market.share_classes.collect()}
    assert (issuers["LBTYA"], issuers["LBTYK"], issuers["GOOG"]) == ("Liberty", "Liberty", "Alphabet")
    splits = {row.trade_date: row.split_ratio for row in market.bars.collect() if row.split_ratio != 1}
    assert splits == {session(5): 2.0}


def contradicted_market(spark: SparkSession) -> dict[str, DataFrame]:
    """Staging in which A's split is listed as 10:1, and its closes became half of what they were."""
    funds = bars_frame(spark, [(t, n, 10.0 + n * step) for t, step in (("SPY", 0), ("XLK", 1)) for n in range(7)])
    evening = dt.datetime.combine(session(4), dt.time(21), dt.UTC)
    before = bars_frame(spark, [("A", n, 100.0) for n in range(5)], fetched_at=evening)
    closes = [("A", n, 50.0 if n < 5 else 80.0) for n in range(7)]
    # B's listing is confirmed, and C is no member.
    others = [("B", 10.0, 2.0), ("C", 10.0, 3.0)]
    old = [bars_frame(spark, [(t, n, 20.0) for n in range(5)], fetched_at=evening) for t, _, _ in others]
    new = [(t, n, close + (n == 6)) for t, close, _ in others for n in range(7)]
    splits = {("A", 5): 10.0} | {(t, 5): ratio for t, _, ratio in others}
    after = bars_frame(spark, closes + new, splits=splits)
    bars = funds.unionByName(before).unionByName(old[0]).unionByName(old[1]).unionByName(after)
    held = [("XLK", session(0), t, None, Decimal(50), NOON, "run", "test") for t in ("A", "B")]
    noon = dt.datetime.combine(session(3), dt.time(17), dt.UTC)
    quotes = [
        (t, noon, session(3), 1_000_000, price, t, t, NOON, "run", "test") for t, price in (("A", 100.0), ("B", 20.0))
    ]
    return {
        BARS_TABLE: bars,
        HOLDINGS_TABLE: frame(spark, held, HOLDINGS),
        QUOTES_TABLE: frame(spark, quotes, QUOTES),
    }


TOLD = f"A {session(5)} listed 10, measured 2"


def test_a_split_whose_restated_closes_contradict_the_listing_is_told(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_APP_PORTFOLIO__BASIS_SESSIONS", "5")
    result = stage5.run(run_on(spark, **contradicted_market(spark)))
    assert f", splits restated by another ratio than listed (see logs_consumer_error): {TOLD}" in result.message
    (error,) = result.errors
    assert error.error_msg == (
        f"split of A {session(5)}: listed 10, measured 2 by its restated closes: the measured one counts"
    )
    # 1,000,000 x 80 / 100 x 2; with the listed ratio it would be 8,000,000.
    (position,) = [row for row in result.publications[0].rows.collect() if row.ticker == "A"]
    assert position.market_cap == 1_600_000


@pytest.mark.parametrize(
    ("table", "splits"), [("analytics_portfolio_allocation", TOLD), ("analytics_trending_sectors", None)]
)
def test_republish_tells_of_such_a_split_where_it_decides_on_the_portfolio_again(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, table: str, splits: str | None
) -> None:
    monkeypatch.setenv("SPARK_APP_PORTFOLIO__BASIS_SESSIONS", "5")
    run = run_on(spark, **contradicted_market(spark)).asking(tables=(table,))
    result = republish.run(run)
    said = f"1 session, {session(6)}"
    if splits is None:
        assert (result.message, list(result.errors)) == (said, [])
        return
    assert result.message == f"{said}, splits restated by another ratio than listed (see logs_consumer_error): {splits}"
    (error,) = result.errors
    assert error.error_msg == (
        f"split of A {session(5)}: listed 10, measured 2 by its restated closes: the measured one counts"
    )
    (position,) = [row for row in result.publications[0].rows.collect() if row.ticker == "A"]
    assert position.market_cap == 1_600_000


@pytest.mark.parametrize(
    ("tables", "logged"),
    [
        (("analytics_portfolio_allocation",), [str(session(6))]),
        (("analytics_portfolio_exclusion",), None),
        (("analytics_trending_sectors",), None),
    ],
)
def test_republish_logs_the_dates_of_its_portfolios(
    spark: SparkSession, tables: tuple[str, ...], logged: list[str] | None
) -> None:
    run = run_on(spark, **contradicted_market(spark)).asking(tables=tables)
    assert republish.run(run).provenance.inputs.get("portfolio_dates") == logged
