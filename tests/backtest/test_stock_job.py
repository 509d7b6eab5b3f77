"""The job over stocks from staged bars, holdings and quotes to tables and page, and what it refuses."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_app import market_calendar
from spark_app.backtest import BACKTEST
from spark_app.config.settings import Settings
from spark_app.pipeline.request import Request
from spark_app.pipeline.result import StageReport
from spark_app.pipeline.run import Run, open_run
from spark_app.pipeline.sequence import run_stages
from spark_app.schemas import BARS
from spark_app.storage.delta.staging import BARS_TABLE, HOLDINGS_TABLE, QUOTES_TABLE
from spark_app.storage.postgres.database import Database, parse_url
from tests.backtest.independent_stocks import Market, Rules, portfolio
from tests.backtest.stock_markets import FUNDS, SESSIONS, SPLIT, facts_of, small_market
from tests.storage.postgres.copies import new_database

FIRST, LAST = SESSIONS[26], SESSIONS[-1]
UNIVERSE = "[benchmark]\nticker = 'SPY'\n" + "".join(f"[[funds]]\nticker = '{t}'\nsector = 'S{t}'\n" for t in FUNDS)
SETTINGS = {"level": "stocks", "rebalance": "weekly", "basis_sessions": 10, "top_n_sectors": 2}

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")


@dataclass(frozen=True)
class World:
    run: Run
    database: Database

    def backtest(self, first: dt.date = FIRST, **settings: object) -> StageReport:
        days = tuple(market_calendar.sessions_between(first, LAST))
        asked = self.run.settings.backtest.model_copy(update={**SETTINGS, **settings})
        run = replace(
            self.run.asking(as_of_dates=days, run_id=f"run-{len(self.run.summary.reports):08}"),
            settings=self.run.settings.model_copy(update={"backtest": asked}),
        )
        run_stages(run, (BACKTEST,))
        return self.run.summary.reports[-1]

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with self.database.connect() as connection:
            return connection.execute(query.encode()).fetchall()


@pytest.fixture(scope="module")
def market() -> tuple[Market, pd.DataFrame]:
    return small_market(49)


@pytest.fixture(scope="module")
def world(
    spark: SparkSession,
    postgres_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    market: tuple[Market, pd.DataFrame],
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("stocks")
    (folder / "three.toml").write_text(UNIVERSE)
    settings = Settings()
    settings = settings.model_copy(
        update={
            "staging": settings.staging.model_copy(update={"path": str(folder / "staging")}),
            "portfolio": settings.portfolio.model_copy(update={"top_n_per_sector": 2}),
        }
    )
    now = dt.datetime(2023, 7, 3, 20, tzinfo=dt.UTC)
    request = Request("run-0", LAST, now, is_as_of_given=True, universe_file=str(folder / "three.toml"))
    server = parse_url(postgres_url)
    with new_database(server, template=server.parameters["dbname"]) as database:
        run = open_run(request, settings, spark, database)
        facts = facts_of(spark, *market)
        assert facts.stocks is not None
        close, opened = F.col("close_price"), F.col("open_price")
        prices = {"high_price": F.greatest(close, opened), "low_price": F.least(close, opened)}
        others = {
            "volume": F.lit(1).cast("long"),
            "dividend": F.lit(0.0),
            "run_id": F.lit("run-0"),
            "source": F.lit("test"),
        }
        run.staging.append(BARS_TABLE, facts.bars.withColumns(prices | others).select(*BARS.fieldNames()))
        run.staging.append(HOLDINGS_TABLE, facts.stocks.holdings)
        run.staging.append(QUOTES_TABLE, facts.stocks.quotes)
        yield World(run, database)


def test_tables_have_the_portfolios_of_plain_python(world: World, market: tuple[Market, pd.DataFrame]) -> None:
    report = world.backtest()
    assert report.exit_code == 0, report.message
    dates = sorted({row[0] for row in world.rows("SELECT as_of_date FROM analytics_backtest_rebalance")})  # type: ignore[type-var]
    expected = [
        (day, ticker, weight, bool(later[ticker]))
        for day in dates
        for weights, later in [portfolio(market[0], Rules(10, 2, 2), day)]  # type: ignore[arg-type]
        for ticker, weight in sorted(weights.items())
    ]
    found = world.rows(
        "SELECT as_of_date, ticker, target_weight::float, is_look_ahead FROM analytics_backtest_position"
        " WHERE as_of_date IN (SELECT as_of_date FROM analytics_backtest_rebalance) ORDER BY as_of_date, ticker"
    )
    assert found == expected
    assert len(found) > 10
    ledger = world.rows("SELECT entry, counted FROM analytics_backtest_ledger WHERE counted = 0 ORDER BY entry")
    assert ("any_fact", 0) in ledger
    assert ("sectors_without_holdings", 0) in ledger
    ((text,),) = world.rows("SELECT parameters FROM analytics_backtest_run")
    parameters = json.loads(str(text))
    assert (parameters["weighting"], parameters["look_ahead"], parameters["top_n_per_sector"]) == (
        "market_cap",
        "refuse",
        2,
    )


def test_a_split_between_a_quote_and_the_first_session_that_is_read_scales_its_market_cap(
    world: World, market: tuple[Market, pd.DataFrame]
) -> None:
    split, first = SPLIT[1], SESSIONS[85]
    report = world.backtest(first, rebalance="daily")
    assert report.exit_code == 0, report.message
    identity = report.message.rsplit(" ", 1)[-1]
    expected = {day: portfolio(market[0], Rules(10, 2, 2), day)[0] for day in SESSIONS[84:]}
    # Ten sessions of warm-up begin after the split, and no quote is newer.
    assert SESSIONS[74] > split
    assert any(SPLIT[0] in weights and len(weights) > 1 for weights in expected.values())
    found: dict[object, dict[object, object]] = {day: {} for day in expected}
    for day, ticker, weight in world.rows(
        "SELECT as_of_date, ticker, target_weight::float FROM analytics_backtest_position"
        f" WHERE backtest_id = '{identity}'"
    ):
        found[day][ticker] = weight
    assert found == expected


@pytest.mark.parametrize(
    ("settings", "exit_code", "told"),
    [
        ({}, 65, "holdings of 2023-02-22 are needed, but the first that are staged are of 2023-03-09"),
        ({"weighting": "equal"}, 65, "use --from 2023-03-10 or later, or import those of the time"),
    ],
)
def test_without_facts_of_the_time_it_is_refused_with_the_ways_out(
    world: World, settings: dict[str, object], exit_code: int, told: str
) -> None:
    report = world.backtest(dt.date(2023, 2, 23), **settings)
    assert (report.exit_code, told in report.message) == (exit_code, True), report.message


def test_allowed_look_ahead_is_counted(world: World) -> None:
    report = world.backtest(dt.date(2023, 2, 23), look_ahead="allow")
    assert report.exit_code == 0, report.message
    identity = report.message.rsplit(" ", 1)[-1]
    counted = (
        f"SELECT counted > 0 FROM analytics_backtest_ledger WHERE backtest_id = '{identity}' AND entry = 'holdings'"
    )
    assert world.rows(counted) == [(True,)]


def test_what_contradicts_itself_is_refused(world: World) -> None:
    report = world.backtest(level="sectors", weighting="market_cap")
    assert (report.exit_code, "--weighting market_cap is of stocks" in report.message) == (2, True)
