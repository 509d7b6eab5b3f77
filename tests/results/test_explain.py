"""What `explain` says of a small market whose rows are put in by SQL; every figure is worked out again with pandas."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from spark_app.cli.explain import main
from spark_app.config.settings import CalendarSettings
from spark_app.results.explain.explain import Explanation, explain
from spark_app.results.explain.text import as_json, render_explanation
from spark_app.results.sessions import read_sessions
from spark_app.storage.postgres.database import Database, parse_url
from spark_app.universe import Rename
from tests.results.rows import FRIDAY, add, add_bar, add_run, after_close
from tests.storage.postgres.copies import new_database
from tests.storage.postgres.logins import login_as, url_of

pytestmark = pytest.mark.usefixtures("no_settings_from_outside")

TECH, UTILITIES = "Information Technology", "Utilities"
SNAPSHOT = dt.date(2026, 11, 18)
# The sessions 20, 10, 5 and 0 before Friday, and the adjusted closes on them.
DAYS = [dt.date(2026, 10, 23), dt.date(2026, 11, 6), dt.date(2026, 11, 13), FRIDAY]
CLOSES = {
    "SPY": (600, 612, 615, 618),
    "QQQ": (500, 505, 510, 520),
    "XLK": (200, 204, 206, 212),
    "XLU": (80, 80, 80, 79),
    "AAPL": (100, 104, 105, 110),
    "MSFT": (400, 405, 410, 428),
    "NVDA": (150, 152, 153, 153),
    "NEE": (70, 71, 72, 70),
}
FETCHED = after_close(FRIDAY) + dt.timedelta(minutes=30)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_APP_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def filled(postgres_url: str) -> Iterator[Database]:
    server = parse_url(postgres_url)
    with new_database(server, template=server.parameters["dbname"]) as made:
        fill(made)
        yield made


@pytest.fixture
def market(postgres_url: str, filled: Database) -> Iterator[Database]:
    """A copy of the small market for one test."""
    with new_database(parse_url(postgres_url), template=filled.parameters["dbname"]) as made:
        yield made


def fill(database: Database) -> None:
    """Technology trends, with AAPL and MSFT as positions and NVDA excluded; utilities do not, with NEE as member."""
    add(database, "logs_data_origin", origin="real")
    for ticker, closes in CLOSES.items():
        for day, close in zip(DAYS, closes, strict=True):
            add_bar(
                database,
                _table_of(ticker),
                ticker,
                day,
                adj_close_price=close,
                close_price=close + 1,
                high_price=close + 1,
                low_price=close,
                fetched_at=FETCHED,
                run_id="serving",
            )
        add(
            database,
            "logs_fetch",
            ticker=ticker,
            kind="chart",
            fetched_at=FETCHED,
            run_id="fetching",
            source="yahoo",
            outcome="ok",
            requests=1,
            rows_fetched=21,
            first_date=DAYS[0],
            last_date=FRIDAY,
        )
    for n, place in ((20, 0), (10, 1), (5, 2)):
        for etf, sector in (("XLK", TECH), ("XLU", UTILITIES)):
            add(
                database,
                "analytics_trending_sectors",
                as_of_date=FRIDAY,
                etf_ticker=etf,
                period_days=n,
                sector_name=sector,
                return_pct=change(etf, place),
                benchmark_return_pct=change("SPY", place),
                is_trending=etf == "XLK",
                rank=1 if etf == "XLK" else 2,
                run_id="allocating",
            )
    for etf, sector, ticker, part, rank in (
        ("XLK", TECH, "AAPL", 20, 1),
        ("XLK", TECH, "MSFT", "15.5", 2),
        ("XLK", TECH, "NVDA", 10, 3),
        ("XLU", UTILITIES, "NEE", 12, 1),
    ):
        add(
            database,
            "collected_meta_etf",
            etf_ticker=etf,
            holding_ticker=ticker,
            as_of_date=SNAPSHOT,
            etf_type="sector",
            sector_name=sector,
            holding_name=f"{ticker} Inc.",
            holding_percent=part,
            holding_rank=rank,
            coverage_percent="45.5" if etf == "XLK" else 12,
            source="yahoo",
            fetched_at=FETCHED,
            run_id="serving",
        )
    add_position(database, "AAPL", 3_000, "0.6", rank=1)
    add_position(database, "MSFT", 2_000, "0.4", rank=2)
    exclude(database, "NVDA", "not_trending", "2.000000 % over 20 sessions is not above the 6.000000 % of XLK")
    for stage in ("stage1_etf_ohlc", "stage4_stock_history"):
        add_run(database, stage, FRIDAY, run_id="fetching")
    add_run(database, "stage3_trending_sectors", FRIDAY, run_id="allocating")
    add_run(database, "stage5_portfolio_allocation", FRIDAY, run_id="allocating")


def add_position(database: Database, ticker: str, market_cap: int, weight: str, *, rank: int) -> None:
    measures: dict[str, object] = {}
    for n, place in ((20, 0), (10, 1), (5, 2)):
        measures |= {f"return_{n}d": change(ticker, place), f"sector_avg_{n}d": change("XLK", place)}
        measures |= {f"is_trending_{n}d": True, f"rank_{n}d": rank}
    add(
        database,
        "analytics_portfolio_allocation",
        as_of_date=FRIDAY,
        ticker=ticker,
        company_name=f"{ticker} Inc.",
        sector=TECH,
        market_cap=market_cap,
        market_cap_basis="quoted",
        portfolio_weight=weight,
        run_id="allocating",
        allocation_reason=f"{ticker} as stored",
        holdings_date=SNAPSHOT,
        quote_date=FRIDAY,
        **measures,
    )


def exclude(database: Database, ticker: str, reason: str, detail: str) -> None:
    add(
        database,
        "analytics_portfolio_exclusion",
        as_of_date=FRIDAY,
        ticker=ticker,
        sector=TECH,
        reason=reason,
        detail=detail,
        run_id="allocating",
        holdings_date=SNAPSHOT,
    )


def change(ticker: str, place: int) -> Decimal:
    closes = CLOSES[ticker]
    return round(100 * (Decimal(closes[-1]) / closes[place] - 1), 6)


def explained(
    database: Database, ticker: str, as_of: dt.date | None = None, renames: Sequence[Rename] = ()
) -> Explanation:
    now = dt.datetime(2026, 11, 23, 13, tzinfo=dt.UTC)
    return explain(database, ticker, as_of, read_sessions(CalendarSettings(), now), renames=renames)


def _table_of(ticker: str) -> str:
    if ticker in ("SPY", "QQQ"):
        return "collected_daily_benchmark_ohlc"
    return "collected_daily_etf_ohlc" if ticker.startswith("XL") else "collected_daily_stock_history"


def sentences(found: Explanation) -> dict[str, str]:
    return {rule.name: rule.sentence for rule in found.rules}


def test_a_position_is_led_back_to_every_rule(market: Database) -> None:
    found = explained(market, "AAPL")
    assert (found.kind, found.portfolio_weight, found.name) == ("position", Decimal("0.6"), "AAPL Inc.")
    assert all(rule.is_met for rule in found.rules)
    # 212 / 200, 618 / 600 and 110 / 100 over 20 sessions; 3,000 of 5,000 dollars.
    assert sentences(found) == {
        "member": "number 1 of the 3 known holdings of XLK on 2026-11-18, 20 % of the fund;"
        " together they are 45.5 % of it",
        "sector trends": "XLK returned +6.000000 % over 20 sessions, SPY +3.000000 %: above SPY and above 0;"
        " rank 1 of the sectors",
        "trend": "+10.000000 % over 20 sessions is above the +6.000000 % of XLK; rank 1 of the sector's members",
        "market cap": "3,000 USD",
        "top of sector": f"number 1 of the 2 positions of {TECH}; at most 5 are held",
        "weight": "60 % of the portfolio: its market cap is 60 % of the 5,000 USD of all 2 positions",
    }


def test_the_two_closes_of_each_return_come_with_their_fetch(market: Database) -> None:
    text = render_explanation(explained(market, "AAPL"))
    assert "20  2026-10-23 to 2026-11-20  +10.000000 %  +6.000000 %" in text
    assert "2026-10-23       100.000000  101.000000  2026-11-20 21:30 UTC" in text
    assert "chart of 2026-10-23 to 2026-11-20, yahoo, 1 request  fetching stage4_stock_history" in text
    assert text.splitlines()[-1] == "restated     nothing since"


def test_pandas_finds_the_same_returns_in_the_same_tables(market: Database) -> None:
    for ticker in CLOSES:
        with market.connect() as connection:
            query = f"SELECT trade_date, adj_close_price::float8 FROM {_table_of(ticker)} WHERE ticker = '{ticker}'"
            closes = pd.DataFrame(connection.execute(query.encode()).fetchall(), columns=["day", "close"])
        closes = closes.sort_values("day").set_index("day")
        # One row per session that the returns span: oldest first, 20, 10 and 5 sessions before the last.
        expected = (100 * (closes["close"].iloc[-1] / closes["close"] - 1)).round(6).to_list()[:-1]
        found = {period.sessions: period for period in explained(market, ticker).returns}
        for figure in ("return_pct", "served_return_pct"):
            told = [float(getattr(found[n], figure)) for n in (20, 10, 5)]
            assert told == pytest.approx(expected, abs=1e-6), ticker
        assert [found[n].start_date for n in (20, 10, 5)] == closes.index.to_list()[:-1]


def test_pandas_finds_the_same_weights_and_places_in_the_same_tables(market: Database) -> None:
    with market.connect() as connection:
        rows = connection.execute(
            "SELECT ticker, market_cap::float8, return_20d::float8 FROM analytics_portfolio_allocation"
        )
        positions = pd.DataFrame(rows.fetchall(), columns=["ticker", "cap", "return"]).set_index("ticker")
    places = positions["return"].rank(ascending=False).astype(int)
    for ticker, share in (100 * positions["cap"] / positions["cap"].sum()).items():
        told = sentences(explained(market, str(ticker)))
        assert f"its market cap is {share:g} % of the {positions['cap'].sum():,.0f} USD" in told["weight"]
        assert told["top of sector"].startswith(f"number {places[str(ticker)]} of the 2 ")


def test_an_exclusion_ends_with_the_rule_that_is_not_met(market: Database) -> None:
    found = explained(market, "NVDA")
    assert found.kind == "exclusion"
    assert [(rule.name, rule.is_met) for rule in found.rules] == [
        ("member", True), ("sector trends", True), ("trend", False),
    ]  # fmt: skip
    assert found.rules[-1].sentence == "2.000000 % over 20 sessions is not above the 6.000000 % of XLK"
    assert [period.is_stored for period in found.returns] == [False, False, False]
    assert "+2.000000 % (not stored)" in render_explanation(found)


@pytest.mark.parametrize(
    ("reason", "rules"),
    [
        ("missing_bars", ["member", "sector trends", "returns"]),
        ("no_market_cap", ["member", "sector trends", "trend", "market cap"]),
        ("duplicate_issuer", ["member", "sector trends", "trend", "share class"]),
        ("below_top_n", ["member", "sector trends", "trend", "top of sector"]),
    ],
)
def test_each_reason_is_a_rule(market: Database, reason: str, rules: list[str]) -> None:
    with market.connect() as connection:
        connection.execute("UPDATE analytics_portfolio_exclusion SET reason = %s, detail = 'as stored'", (reason,))
    found = explained(market, "NVDA")
    assert [rule.name for rule in found.rules] == rules
    assert [rule.is_met for rule in found.rules] == [True] * (len(rules) - 1) + [False]
    assert found.rules[-1].sentence == "as stored"


def test_a_member_of_a_sector_that_does_not_trend_was_not_considered(market: Database) -> None:
    found = explained(market, "NEE")
    assert found.verdict == "NEE on 2026-11-20: not considered, Utilities does not trend over 20 sessions"
    assert found.rules[-1].sentence == (
        "XLU returned -1.250000 % over 20 sessions, SPY +3.000000 %: not above SPY and not above 0;"
        " rank 2 of the sectors"
    )


def test_of_a_date_that_was_republished_without_a_position_the_basis_is_that_of_republish(market: Database) -> None:
    with market.connect() as connection:
        connection.execute("DELETE FROM analytics_portfolio_allocation")
        connection.execute("DELETE FROM analytics_portfolio_exclusion")
        connection.execute("UPDATE analytics_trending_sectors SET is_trending = false WHERE period_days = 5")
        connection.execute(
            "INSERT INTO logs_pipeline_run (run_id, stage, as_of_date, status, parameters, started_at, finished_at,"
            " settings, inputs) VALUES ('rebuilding', 'republish', '2026-11-24', 'ok', '{}', now(), now(),"
            ' \'{"portfolio": {"basis_sessions": 5}}\', \'{"portfolio_dates": ["2026-11-20", "2026-11-24"]}\')'
        )
    found = explained(market, "AAPL")
    assert found.verdict == f"AAPL on 2026-11-20: not considered, {TECH} does not trend over 5 sessions"
    assert found.decision is not None
    assert (found.decision.run_id, found.decision.stage) == ("rebuilding", "republish")


def test_a_stock_that_no_fund_holds_was_not_considered(market: Database) -> None:
    add_bar(market, "collected_daily_stock_history", "ZZZ", FRIDAY)
    back = (Rename("ZZZ", "YYY", dt.date(2020, 1, 2)), Rename("YYY", "ZZZ", dt.date(2022, 1, 3)))
    for renames in ((), back):
        found = explained(market, "ZZZ", renames=renames)
        assert found.verdict.endswith("not considered, it is in no sector fund's known holdings")


# The snapshot is of 2026-11-18, and has MSFT by the ticker of before the first rename.
RENAMES = (Rename("MSOF", "MSI", dt.date(2026, 11, 19)), Rename("MSI", "MSFT", dt.date(2026, 11, 20)))


def rename_in_holdings(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("UPDATE collected_meta_etf SET holding_ticker = 'MSOF' WHERE holding_ticker = 'MSFT'")


def test_a_decision_of_before_a_rename_was_known_keeps_its_holdings(market: Database) -> None:
    later = (Rename("MSFT", "NEW", dt.date(2026, 11, 20)),)
    known, then = explained(market, "MSFT", renames=later), explained(market, "MSFT")
    assert then.kind in ("position", "exclusion") and then.holdings is not None
    assert (known.holdings, sentences(known)["member"]) == (then.holdings, sentences(then)["member"])


def test_a_renamed_stock_is_found_in_holdings_of_before(market: Database) -> None:
    rename_in_holdings(market)
    found = explained(market, "MSFT", renames=RENAMES)
    member = "number 2 of the 3 known holdings of XLK on 2026-11-18 as MSOF, 15.5 % of the fund;"
    assert sentences(found)["member"].startswith(member)
    with market.connect() as connection:
        connection.execute("DELETE FROM analytics_portfolio_allocation")
    found = explained(market, "MSFT", renames=RENAMES)
    assert sentences(found)["member"].startswith(member)
    # In holdings of the rename's day and later the old ticker is another stock's.
    with market.connect() as connection:
        connection.execute("UPDATE collected_meta_etf SET as_of_date = '2026-11-19'")
    found = explained(market, "MSFT", renames=RENAMES)
    assert found.verdict.endswith("not considered, it is in no sector fund's known holdings")
    assert sentences(explained(market, "MSOF", renames=RENAMES))["member"].startswith(
        "number 2 of the 3 known holdings"
    )


@pytest.mark.parametrize("old", ["MSOF", "MSI"])
def test_of_an_old_ticker_the_newest_is_named(
    market: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], old: str
) -> None:
    rename_in_holdings(market)
    monkeypatch.setenv("DATABASE_URL", url_of(market))
    monkeypatch.setenv(
        "SPARK_APP_CORRECTIONS__RENAMES",
        json.dumps([{"old": rename.old, "new": rename.new, "date": str(rename.date)} for rename in RENAMES]),
    )
    day = {"MSOF": "2026-11-19", "MSI": "2026-11-20"}[old]
    assert main(["MSFT"]) == 0
    assert "2026-11-18 as MSOF" in capsys.readouterr().out
    assert main([old]) == 2
    said = f"explain: {old} was renamed on {day} (corrections.renames): explain MSFT instead\n"
    assert capsys.readouterr().err == said


def test_a_sector_fund_is_compared_with_spy(market: Database) -> None:
    found = explained(market, "XLK")
    assert found.verdict == (
        "XLK on 2026-11-20: Information Technology trends over 5, 10, 20 sessions;"
        " 2 positions with 100 % of the portfolio"
    )
    assert [rule.is_met for rule in found.rules] == [True] * 3
    assert found.holdings is not None
    assert (found.holdings.holdings, found.holdings.coverage_percent) == (3, Decimal("45.5"))
    without = explained(market, "XLU")
    assert without.verdict.endswith("Utilities does not trend; 0 positions with 0 % of the portfolio")
    assert [rule.is_met for rule in without.rules] == [False] * 3


def test_before_the_portfolio_is_computed_a_sector_has_no_weight(market: Database) -> None:
    with market.connect() as connection:
        connection.execute("DELETE FROM analytics_portfolio_allocation")
        connection.execute("DELETE FROM analytics_portfolio_exclusion")
    # Computed, and nothing was bought.
    assert explained(market, "XLK").verdict.endswith("; 0 positions with 0 % of the portfolio")
    with market.connect() as connection:
        connection.execute("DELETE FROM logs_pipeline_run WHERE stage = 'stage5_portfolio_allocation'")
    found = explained(market, "XLK")
    assert found.verdict == (
        "XLK on 2026-11-20: Information Technology trends over 5, 10, 20 sessions; no portfolio of the date yet"
    )
    assert json.loads(as_json(found))["portfolio_weight"] is None


def test_spy_says_who_is_ahead_of_it(market: Database) -> None:
    found = explained(market, "SPY")
    assert sentences(found)["over 20 sessions"] == "1 of 2 sectors returned more than SPY; trending: XLK"
    assert [period.is_stored for period in found.returns] == [True] * 3
    assert "nothing depends on it" in explained(market, "QQQ").verdict


def test_what_was_restated_since_is_told(market: Database) -> None:
    later = after_close(FRIDAY) + dt.timedelta(days=3)
    add(
        market,
        "logs_price_restatement",
        ticker="AAPL",
        run_id="later",
        stage="stage4_stock_history",
        kind="split",
        ratio="0.5",
        rows_restated=20,
        first_trade_date=DAYS[0],
        last_trade_date=DAYS[2],
        noticed_at=later,
    )
    early = {"stage": "stage4_stock_history", "kind": "dividend", "rows_restated": 1, "first_trade_date": DAYS[0]}
    add(
        market,
        "logs_price_restatement",
        ticker="AAPL",
        run_id="earlier",
        last_trade_date=FRIDAY,
        noticed_at=after_close(FRIDAY),
        **early,
    )
    with market.connect() as connection:
        connection.execute(
            "UPDATE collected_daily_stock_history SET adj_close_price = 50, fetched_at = %s"
            " WHERE ticker = 'AAPL' AND trade_date = %s",
            (later, DAYS[0]),
        )
    found = explained(market, "AAPL")
    text = render_explanation(found)
    assert "AAPL 2026-10-23 to 2026-11-13: split, ratio 0.5, noticed 2026-11-23 21:00 UTC" in text
    assert "dividend" not in text
    assert "20 sessions: the closes as they are served now give +120.000000 %" in text
    # The close of the later fetch is older than the fetches that are logged.
    assert "2026-11-23 21:00 UTC  not logged" in text


def test_a_look_ahead_snapshot_and_quote_are_marked(market: Database) -> None:
    with market.connect() as connection:
        connection.execute("UPDATE collected_meta_etf SET as_of_date = '2026-11-27'")
        connection.execute(
            "UPDATE analytics_portfolio_allocation SET holdings_date = '2026-11-27', quote_date = '2026-11-27',"
            " market_cap_basis = 'later_quote', is_look_ahead = true"
        )
    add(
        market,
        "logs_fetch",
        ticker="AAPL",
        kind="quote",
        fetched_at=FETCHED,
        run_id="fetching",
        source="yahoo",
        outcome="ok",
        requests=1,
        rows_fetched=1,
        first_date=dt.date(2026, 11, 27),
        last_date=dt.date(2026, 11, 27),
    )
    found = explained(market, "AAPL")
    assert sentences(found)["member"].endswith("look-ahead: the snapshot is dated after the as-of date")
    assert sentences(found)["market cap"].endswith("look-ahead: of a quote after the as-of date")
    assert (
        "3,000 USD, look-ahead quote of 2026-11-27, fetched 2026-11-20 21:30 UTC by stage4_stock_history fetching"
        in render_explanation(found)
    )


def test_a_missing_close_is_named(market: Database) -> None:
    with market.connect() as connection:
        connection.execute("DELETE FROM collected_daily_stock_history WHERE trade_date = %s", (DAYS[0],))
    text = render_explanation(explained(market, "NVDA"))
    assert "20 sessions: no close is served for 2026-10-23" in text


def test_rows_of_an_earlier_version_are_explained_too(market: Database) -> None:
    with market.connect() as connection:
        connection.execute("UPDATE analytics_portfolio_allocation SET holdings_date = NULL, quote_date = NULL")
        connection.execute("DELETE FROM logs_fetch")
        connection.execute("DELETE FROM logs_pipeline_run")
    found = explained(market, "AAPL")
    assert found.decision is None
    assert found.holdings is not None
    assert found.holdings.snapshot_date == SNAPSHOT
    assert "2026-11-20 21:30 UTC  not logged  serving (served it)" in render_explanation(found)


def test_json_has_every_figure(market: Database) -> None:
    told = json.loads(as_json(explained(market, "AAPL")))
    assert (told["portfolio_weight"], told["as_of_date"]) == (0.6, "2026-11-20")
    assert told["returns"][-1]["start"]["adj_close_price"] == 100.0
    assert told["returns"][-1]["start"]["fetch"]["run_id"] == "fetching"


def test_who_may_only_read_gets_the_explanation(market: Database) -> None:
    with login_as(market, "spark_app_reader") as reader:
        assert explained(reader, "AAPL").kind == "position"


def test_a_name_with_control_characters_cannot_reach_the_terminal(market: Database) -> None:
    with market.connect() as connection:
        connection.execute("UPDATE analytics_portfolio_allocation SET company_name = E'evil \\x1b[2J'")
    assert "\x1b" not in render_explanation(explained(market, "AAPL"))


def test_mistakes_get_a_sentence_with_the_nearest_alternatives(
    market: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", url_of(market))
    assert main(["aapl", "--as-of", "2026-11-20"]) == 0
    assert capsys.readouterr().out.startswith("AAPL (AAPL Inc.) on 2026-11-20: position")
    mistakes = {
        ("APPL",): "explain: unknown ticker APPL: nothing is served for it; nearest: AAPL\n",
        ("FOO",): "explain: unknown ticker FOO: nothing is served for it; use one that `show` prints\n",
        ("AAPL", "--as-of", "2026-11-21"): ("explain: no results for 2026-11-21: nearest with results: 2026-11-20\n"),
        ("*",): "explain: invalid ticker '*': expected letters and digits such as XLK or BRK-B\n",
    }
    for words, sentence in mistakes.items():
        assert main(words) == 2
        assert capsys.readouterr().err == sentence
    with market.connect() as connection:
        connection.execute("DELETE FROM analytics_trending_sectors")
    assert main(["AAPL"]) == 65
    assert "there are no results yet: run ./spark_jobs_launcher.sh daily_pipeline" in capsys.readouterr().err


def test_the_nearest_dates_are_those_before_and_after(market: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with market.connect() as connection:
        for day in ("2026-11-06", "2026-11-13"):
            connection.execute(
                "INSERT INTO analytics_trending_sectors (as_of_date, etf_ticker, period_days, sector_name, is_trending,"
                " unavailable_reason, run_id) VALUES (%s, 'XLK', 20, 'x', false, 'no bar', 'run')",
                (day,),
            )
    with pytest.raises(Exception, match=r"nearest with results: 2026-11-13, 2026-11-20$"):
        explained(market, "AAPL", dt.date(2026, 11, 16))
