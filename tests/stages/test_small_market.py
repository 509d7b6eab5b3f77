"""The pipeline on a market in which every share is one trap; the numbers here are worked out by hand."""

from __future__ import annotations

import datetime as dt
import platform
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from pyarrow import parquet
from pyspark.sql import SparkSession

from spark_app import __version__
from tests.emulator import YahooEmulator
from tests.integration.expected import Known, Rows, daily_prices, fund_holdings, trending_sectors, universe
from tests.integration.expected_portfolio import portfolio, stock_history
from tests.integration.small_market import AS_OF, FUND_PATHS, IN_WINTER, STEPS, spring_market, winter_market
from tests.integration.world import World, differences, open_world, without_text

EVENING_IN_WINTER = dt.datetime(2024, 3, 8, 23, tzinfo=dt.UTC)
HOLDINGS, STOCKS, PORTFOLIO = "stage2_etf_holdings", "stage4_stock_history", "stage5_portfolio_allocation"
BILLION = 10**9
MONDAY_AFTER = dt.date(2024, 4, 29)
STAGED = ("bars", "holdings", "quotes")
WITH_HOLES = {"gate": {"etf_coverage": 0, "stock_coverage": 0}}


pytestmark = pytest.mark.usefixtures("no_settings_from_outside")


@pytest.fixture(scope="module")
def world(home: Path) -> Iterator[World]:
    with YahooEmulator(spring_market()) as emulator, open_world(home, emulator) as opened:
        yield opened


@pytest.fixture(scope="module")
def tables(world: World, spark: SparkSession) -> dict[str, Rows]:
    reports = world.run(spark, AS_OF, settings=WITH_HOLES)
    assert [report.exit_code for report in reports.values()] == [0] * 5, reports
    return world.tables()


@pytest.fixture(scope="module")
def later_tables(tables: dict[str, Rows], world: World, spark: SparkSession) -> dict[str, Rows]:
    """After the stocks of a run of March are known as well, and LATE has split: the as-of session is run again."""
    world.emulator.market = winter_market()
    collecting: dict[str, Any] = {"stages": [HOLDINGS, STOCKS], "universe": "all", "now": EVENING_IN_WINTER}
    winter = world.run(spark, IN_WINTER, settings=WITH_HOLES, **collecting)
    world.emulator.market = spring_market()
    world.emulator.market.add_split("LATE", dt.date(2024, 6, 12), 2.0)
    again = world.run(spark, AS_OF, stages=[STOCKS, PORTFOLIO], settings=WITH_HOLES)
    assert {report.exit_code for report in (*winter.values(), *again.values())} == {0}, (winter, again)
    return world.tables()


def known_in_june() -> Known:
    market = spring_market()
    snapshots = {fund: [snapshot] for fund, snapshot in market.holdings.items()}
    return Known(market.bars, market.events, snapshots, {ticker: [quote] for ticker, quote in market.quotes.items()})


def column(rows: Rows, name: str, period: int) -> dict[str, Any]:
    return {fund: row[name] for (_, fund, sessions), row in rows.items() if sessions == period}


def test_sector_returns_over_20_sessions(tables: dict[str, Rows]) -> None:
    returns = column(tables["analytics_trending_sectors"], "return_pct", 20)
    assert returns == {
        "XLK": Decimal(10),
        "XLC": Decimal(8),
        "XLE": Decimal(5),
        "XLF": Decimal(5),
        "XLP": Decimal(2),
        "XLU": Decimal("1.5"),
        "XLB": Decimal(0),
        "XLRE": Decimal(0),
        "XLI": Decimal(-1),
        "XLV": Decimal("-9.090909"),
        "XLY": None,
    }


def test_equal_sectors_rank_by_ticker_and_an_unavailable_one_not_at_all(tables: dict[str, Rows]) -> None:
    ranks = column(tables["analytics_trending_sectors"], "rank", 20)
    in_order = ["XLK", "XLC", "XLE", "XLF", "XLP", "XLU", "XLB", "XLRE", "XLI", "XLV"]
    assert ranks == {fund: place for place, fund in enumerate(in_order, start=1)} | {"XLY": None}


@pytest.mark.parametrize(
    ("sessions", "trending"),
    [(5, {"XLK", "XLC", "XLE", "XLF"}), (10, {"XLK", "XLC", "XLE", "XLP", "XLU"}), (20, {"XLK", "XLC", "XLE", "XLF"})],
)
def test_a_sector_trends_that_is_above_spy_and_above_zero(
    tables: dict[str, Rows], sessions: int, trending: set[str]
) -> None:
    flags = column(tables["analytics_trending_sectors"], "is_trending", sessions)
    assert {fund for fund, flag in flags.items() if flag} == trending


def test_a_missing_end_point_makes_a_return_unavailable(tables: dict[str, Rows]) -> None:
    rows = tables["analytics_trending_sectors"]
    without = {(fund, sessions) for (_, fund, sessions), row in rows.items() if row["return_pct"] is None}
    assert without == {("XLF", 10), ("XLY", 5), ("XLY", 10), ("XLY", 20)}
    assert str(STEPS[0]) in rows[AS_OF, "XLF", 10]["unavailable_reason"]
    assert str(AS_OF) in rows[AS_OF, "XLY", 20]["unavailable_reason"]
    assert rows[AS_OF, "XLY", 20]["benchmark_return_pct"] == 2


def test_an_event_on_a_session_without_a_bar_shows_in_the_next(tables: dict[str, Rows]) -> None:
    dividends = {key: row["dividend"] for key, row in tables["collected_daily_etf_ohlc"].items() if row["dividend"]}
    assert dividends == {("XLF", MONDAY_AFTER): Decimal("0.153")}
    assert tables["collected_daily_stock_history"]["JPM", STEPS[0]]["dividend"] == Decimal("1.15")


def test_a_price_change_needs_the_session_before(tables: dict[str, Rows]) -> None:
    prices = tables["collected_daily_etf_ohlc"]
    assert ("XLF", STEPS[0]) not in prices
    assert prices["XLF", MONDAY_AFTER]["price_change_percent"] is None
    assert prices["XLV", AS_OF]["price_change_percent"] == Decimal("-9.090909")


def test_holdings_of_a_fund_with_cash_two_spellings_and_a_share_named_twice(tables: dict[str, Rows]) -> None:
    rows = {key[1]: row for key, row in tables["collected_meta_etf"].items() if key[0] == "XLK"}
    assert [t for t, row in sorted(rows.items(), key=lambda item: item[1]["holding_rank"])] == [
        *("BRK-B", "NOCAP", "NULCP", "GAPS", "SPLT", "TODAY", "TIEA", "TIEB", "EQUAL", "FLAT", "HOLE", "NULLS"),
        *("DUO", "TWIN", "GONE"),
    ]
    assert rows["TWIN"]["holding_percent"] == 3
    assert {row["coverage_percent"] for row in rows.values()} == {Decimal("98.623456")}


def test_market_caps(tables: dict[str, Rows]) -> None:
    held = {ticker: (row["market_cap"], row["market_cap_basis"]) for (_, ticker), row in _positions(tables).items()}
    assert held == {
        "BRK-B": (400 * BILLION * 130 // 128, "quoted"),
        "GAPS": (80 * BILLION * 50 // 64, "later_quote"),
        "SPLT": (30 * BILLION * 62 // 100 * 2, "quoted"),
        "TODAY": (25 * BILLION, "quoted"),
        "TIEA": (10 * BILLION, "quoted"),
        "GOOGL": (100 * BILLION, "quoted"),
        "LATE": (66 * BILLION * 56 // 60, "later_quote"),
        "DUO": (12 * BILLION, "quoted"),
        "EVEN": (3 * BILLION, "quoted"),
    }


def test_weights(tables: dict[str, Rows]) -> None:
    weights = {ticker: row["portfolio_weight"] for (_, ticker), row in _positions(tables).items()}
    # Of 717.55 billion; the remainders of TODAY, SPLT, BRK-B and LATE are the largest: these are rounded up.
    assert weights == {
        "BRK-B": Decimal("0.56616264"),
        "GAPS": Decimal("0.08710194"),
        "SPLT": Decimal("0.05184308"),
        "TODAY": Decimal("0.03484078"),
        "TIEA": Decimal("0.01393631"),
        "GOOGL": Decimal("0.13936311"),
        "LATE": Decimal("0.08584768"),
        "DUO": Decimal("0.01672357"),
        "EVEN": Decimal("0.00418089"),
    }


def test_the_first_reason_of_each_exclusion(tables: dict[str, Rows]) -> None:
    assert {key[1]: row["reason"] for key, row in tables["analytics_portfolio_exclusion"].items()} == {
        "GONE": "missing_bars",
        "HOLE": "missing_bars",
        "NULLS": "missing_bars",
        "EQUAL": "not_trending",
        "FLAT": "not_trending",
        "XOM": "not_trending",
        "JPM": "not_trending",
        "NOCAP": "no_market_cap",
        "NULCP": "no_market_cap",
        "GOOG": "duplicate_issuer",
        "TIEB": "below_top_n",
        "TWIN": "below_top_n",
    }


def test_a_rank_counts_all_members_of_the_sector(tables: dict[str, Rows]) -> None:
    held = _positions(tables)
    ranks = {t: held[AS_OF, t]["rank_20d"] for t in ("BRK-B", "GAPS", "SPLT", "TODAY", "TIEA")}
    assert ranks == {"BRK-B": 1, "GAPS": 4, "SPLT": 5, "TODAY": 6, "TIEA": 7}


def test_a_stock_in_two_funds_belongs_to_the_larger_share_then_to_the_first(tables: dict[str, Rows]) -> None:
    held = _positions(tables)
    assert (held[AS_OF, "DUO"]["sector"], held[AS_OF, "DUO"]["rank_20d"]) == ("Energy", 1)
    assert (held[AS_OF, "EVEN"]["sector"], held[AS_OF, "EVEN"]["rank_20d"]) == ("Energy", 2)


def test_names_and_caps_of_the_stock_history(tables: dict[str, Rows]) -> None:
    rows = tables["collected_daily_stock_history"]
    assert rows["TODAY", AS_OF]["company_name"] == "TODAY Incorporated"
    assert rows["TIEA", AS_OF]["company_name"] == "TIEA Inc."
    assert rows["TODAY", AS_OF]["market_cap"] == 25 * BILLION
    assert rows["SPLT", dt.date(2024, 4, 15)]["market_cap"] == 30 * BILLION
    assert rows["SPLT", AS_OF]["market_cap"] is None
    assert rows["SPLT", dt.date(2024, 5, 1)]["split_ratio"] == 2
    # XLU trends over 10 sessions only; JNJ belongs to the first of the funds that hold 1 % of it, XLB.
    assert {"NEE", "HOLE", "JNJ"} & {ticker for ticker, _ in rows} == {"NEE", "HOLE"}


def test_an_unknown_ticker_is_named_in_the_error_log(tables: dict[str, Rows], world: World) -> None:
    messages = [text for (text,) in world.query("SELECT error_msg FROM logs_consumer_error")]
    assert any("GONE" in text and "not_found" in text for text in messages)


def test_the_throttle_counts_every_request_that_reached_the_source(tables: dict[str, Rows], world: World) -> None:
    assert world.query("SELECT requests FROM logs_fetch_throttle") == [(len(world.emulator.log),)]


def test_every_number_is_that_of_the_independent_calculation(tables: dict[str, Rows]) -> None:
    known = known_in_june()
    funds = [fund for fund in FUND_PATHS if fund != "QQQ"]
    trends = without_text(tables["analytics_trending_sectors"], "unavailable_reason")
    right_trends = without_text(trending_sectors(known, AS_OF), "is_unavailable")
    positions, exclusions = portfolio(known, AS_OF)
    assert not differences(without_text(tables["collected_daily_etf_ohlc"]), daily_prices(known, funds, AS_OF))
    assert not differences(without_text(tables["collected_meta_etf"], "source"), fund_holdings(known, AS_OF))
    assert not differences(trends, right_trends)
    history = stock_history(known, universe(known, AS_OF), AS_OF)
    assert not differences(without_text(tables["collected_daily_stock_history"]), history)
    assert not differences(without_text(_positions(tables), "allocation_reason"), positions)
    assert not differences(without_text(tables["analytics_portfolio_exclusion"], "detail"), exclusions)


def staged(world: World, table: str) -> list[dict[str, Any]]:
    """All rows of a staging table, read without Spark."""
    files = (world.home / "staging" / table).glob("*.parquet")
    rows = [row for f in files for row in parquet.read_table(f, coerce_int96_timestamp_unit="us").to_pylist()]
    return [{**row, "fetched_at": row["fetched_at"].replace(tzinfo=dt.UTC)} for row in rows]


def test_every_fetch_is_logged_with_what_it_brought(tables: dict[str, Rows], world: World) -> None:
    right = set()
    for row in staged(world, "fetches"):
        quote = row["quote"] or {}
        dates = [bar["trade_date"] for bar in row["bars"]] or [row["snapshot_date"] or quote.get("quote_date")]
        brought = len(row["bars"]) + len(row["holdings"]) + bool(quote)
        names = ("ticker", "kind", "fetched_at", "run_id", "source", "outcome", "message", "requests")
        right.add((*(row[name] for name in names), brought, dates[0], dates[-1]))
    columns = (
        "ticker, kind, fetched_at, run_id, source, outcome, message, requests, rows_fetched, first_date, last_date"
    )
    logged = set(world.query(f"SELECT {columns} FROM logs_fetch"))
    assert (logged - right, right - logged) == (set(), set())
    assert len(right) > 50
    assert {row[5] for row in right} == {"ok", "not_found"}


def test_a_served_row_leads_to_its_fetch(tables: dict[str, Rows], world: World) -> None:
    for table, kind in (
        ("collected_daily_etf_ohlc", "chart"),
        ("collected_daily_benchmark_ohlc", "chart"),
        ("collected_daily_stock_history", "chart"),
        ("collected_meta_etf", "holdings"),
    ):
        ticker = "etf_ticker" if kind == "holdings" else "ticker"
        found = world.query(
            f"SELECT count(*), count(logged.run_id) FROM {table} AS served LEFT JOIN logs_fetch AS logged"
            f" ON logged.ticker = served.{ticker} AND logged.kind = %s AND logged.fetched_at = served.fetched_at"
            " AND logged.run_id = served.run_id AND logged.outcome = 'ok'",
            kind,
        )
        assert found == [(len(tables[table]), len(tables[table]))]


def test_a_runs_row_says_what_it_read_and_with_which_settings(tables: dict[str, Rows], world: World) -> None:
    columns = "inputs, look_ahead_memberships, look_ahead_quotes, restated_bars, outliers"
    logged = {stage: rest for stage, *rest in world.query(f"SELECT stage, {columns} FROM logs_pipeline_run")}
    written = {t: len(list((world.home / "staging" / t / "_delta_log").glob("*.json"))) - 1 for t in STAGED}
    held, out = (tables[f"analytics_portfolio_{name}"] for name in ("allocation", "exclusion"))
    inputs, memberships, quotes, *unknown = logged[PORTFOLIO]
    assert inputs["staging_versions"] == written
    by_sector = {row["sector"]: str(row["holdings_date"]) for row in (*held.values(), *out.values())}
    assert sorted(inputs["holdings_dates"]) == ["XLC", "XLE", "XLF", "XLK"]
    assert sorted(inputs["holdings_dates"].values()) == sorted(by_sector.values())
    quote_dates = sorted(str(row["quote_date"]) for row in held.values())
    assert inputs["quote_dates"] == {"first": quote_dates[0], "last": quote_dates[-1]}
    assert memberships == sum(row["holdings_date"] > AS_OF for row in (*held.values(), *out.values()))
    assert quotes == sum(row["market_cap_basis"] == "later_quote" for row in held.values()) == 2
    assert unknown == [None, None]
    assert logged["stage3_trending_sectors"] == [{"staging_versions": {"bars": 1}}, None, None, None, None]
    outliers = "SELECT count(*) FROM logs_consumer_error WHERE error_msg LIKE '%%outlier%%' AND stage = %s"
    assert logged[STOCKS][1:] == [0, None, 0, world.query(outliers, STOCKS)[0][0]]
    ((version, host, settings),) = world.query("SELECT DISTINCT code_version, host, settings FROM logs_pipeline_run")
    assert (version, host) == (__version__, platform.node())
    assert settings["gate"]["stock_coverage"] == 0
    assert settings["source"]["holdings_provider"] == "issuer"
    assert settings["portfolio"]["top_n_per_sector"] == 5
    assert not settings.keys() & {"staging", "kafka", "database", "synthetic"}


def test_what_a_newer_fetch_restated_is_logged(later_tables: dict[str, Rows], world: World) -> None:
    closes = defaultdict(list)
    for bar in sorted(staged(world, "bars"), key=lambda bar: bar["fetched_at"]):
        closes[bar["ticker"], bar["trade_date"]].append((bar["close_price"], bar["run_id"]))
    changed = defaultdict(list)
    for (ticker, day), fetched in closes.items():
        for (before, _), (after, run_id) in pairwise(fetched):
            changed[ticker, run_id].append((day, after / before))
    right = {
        key: (round(median(r for _, r in bars), 9), len(bars), min(bars)[0], max(bars)[0])
        for key, bars in changed.items()
    }
    found = world.query(
        "SELECT ticker, run_id, round(ratio, 9)::float, rows_restated, first_trade_date, last_trade_date"
        " FROM logs_price_restatement WHERE kind = 'split'"
    )
    assert {(ticker, run_id): tuple(rest) for ticker, run_id, *rest in found} == {
        key: values for key, values in right.items() if abs(values[0] - 1) > 1e-6
    }
    assert [row[2] for row in found if row[0] == "LATE"] == [0.5]
    last = "SELECT restated_bars FROM logs_pipeline_run WHERE stage = %s ORDER BY started_at DESC LIMIT 1"
    restated = "SELECT sum(rows_restated) FROM logs_price_restatement"
    assert world.query(last, STOCKS) == world.query(restated)


def test_a_split_between_two_runs_is_in_the_market_cap(later_tables: dict[str, Rows]) -> None:
    held = _positions(later_tables)[AS_OF, "GAPS"]
    # 60 billion at 120 in March; three shares at 50 for each of those in May. Neither run's window has the split.
    assert (held["market_cap"], held["market_cap_basis"]) == (75 * BILLION, "quoted")


def test_a_split_after_a_later_quote_leaves_the_market_cap_as_it_was(
    tables: dict[str, Rows], later_tables: dict[str, Rows]
) -> None:
    assert later_tables["collected_daily_stock_history"]["LATE", AS_OF]["close_price"] == 28
    before, after = (_positions(rows)[AS_OF, "LATE"] for rows in (tables, later_tables))
    assert (after["market_cap"], after["market_cap_basis"]) == (before["market_cap"], "later_quote")


def _positions(tables: dict[str, Rows]) -> Rows:
    return tables["analytics_portfolio_allocation"]
