"""What the settings correct, and what restatements show, reaches the portfolio."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_app.config.settings import load_settings
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
