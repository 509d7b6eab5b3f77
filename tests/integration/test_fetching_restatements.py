"""What Yahoo restates between two runs: it is named, every stored session follows, and returns stay right.

The first run serves 30 sessions, the second 21: the older rows are not of its window, and must follow all the same.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from spark_app.config.settings import CalendarSettings
from spark_app.ingestion import charts
from spark_app.results.explain.explain import explain
from spark_app.results.explain.text import render_explanation
from spark_app.results.sessions import read_sessions
from tests.emulator import Market
from tests.integration.expected import Known, Rows, daily_prices, sessions_ending, trending_sectors
from tests.integration.fetch_market import AS_OF, FUNDS, LAST_DAY, NEXT_DAY, NEXT_MORNING, STAGE_1, fetch_market
from tests.integration.fetch_world import STAGE1, STAGE2, FetchWorld, each_once, served_prices
from tests.integration.world import differences, without_text

STAGE3 = "stage3_trending_sectors"
IN_THE_SESSION = dt.datetime(2024, 5, 14, 15, tzinfo=dt.UTC)
FIRST_ASKED, FIRST_SERVED = sessions_ending(AS_OF, 31)[:2]


def market_of_next_day() -> Market:
    """On `NEXT_DAY` XLK splits 4:1, XLF pays 2 % of its last close and XLE, at once, 40 %."""
    market = fetch_market()
    fall(market, "XLK", to=0.25)
    market.add_split("XLK", NEXT_DAY, 4.0)
    market.add_dividend("XLF", NEXT_DAY, 0.02 * 108.25)
    fall(market, "XLE", to=0.6)
    market.add_dividend("XLE", NEXT_DAY, 0.4 * 109.25)
    return market


def fall(market: Market, ticker: str, *, to: float, since: dt.date = NEXT_DAY) -> None:
    """Let the prices from a day on be a fraction of what they were."""
    names = ("open", "high", "low", "close", "adj_close")
    market.add_bars(
        ticker,
        *[
            bar._replace(**{name: getattr(bar, name) * to for name in names})
            for bar in market.bars[ticker]
            if bar.trade_date >= since
        ],
    )


def known_on_next_day() -> Known:
    market = market_of_next_day()
    return Known(market.bars, market.events, {}, {})


def right_prices() -> Rows:
    """All sessions that the first run served, and the one after them."""
    known = known_on_next_day()
    window = sessions_ending(NEXT_DAY, 21)
    older = {key: row for key, row in daily_prices(known, FUNDS, window[0]).items() if key[1] >= FIRST_SERVED}
    return older | daily_prices(known, FUNDS, NEXT_DAY)


@pytest.fixture
def next_day(fetch_world: FetchWorld) -> FetchWorld:
    """The installation after the first run, when the market has moved on."""
    assert fetch_world.run(days=30).exit_code == 0
    fetch_world.world.emulator.market = market_of_next_day()
    fetch_world.forget_log()
    return fetch_world


def test_restatements_are_named_and_reach_every_served_row(next_day: FetchWorld) -> None:
    report = next_day.run(as_of=NEXT_DAY, now=NEXT_MORNING)
    assert report.exit_code == 0, report.message
    assert next_day.asked() == each_once(STAGE_1)
    span = f"in 31 sessions {FIRST_ASKED}..{AS_OF}"
    told = f"restated: XLE dividend x0.6 {span}, XLF dividend x0.98 {span}, XLK split x0.25 {span}"
    assert report.message.endswith(told)
    assert not differences(served_prices(next_day), right_prices())

    assert next_day.run(STAGE3, NEXT_DAY, now=NEXT_MORNING).exit_code == 0
    trends = without_text(next_day.world.table("analytics_trending_sectors"), "unavailable_reason")
    right = without_text(trending_sectors(known_on_next_day(), NEXT_DAY), "is_unavailable")
    assert not differences(trends, right)


def test_explain_of_the_day_before_names_what_was_restated_since(
    next_day: FetchWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_APP_HOME", str(tmp_path))
    assert next_day.run(STAGE3).exit_code == 0
    before = next_day.world.table("analytics_trending_sectors")
    assert next_day.run(as_of=NEXT_DAY, now=NEXT_MORNING).exit_code == 0
    assert next_day.world.table("analytics_trending_sectors") == before

    sessions = read_sessions(CalendarSettings(), NEXT_MORNING)
    restated = {"XLK": [("split", "0.25")], "XLF": [("dividend", "0.98")], "XLE": [("dividend", "0.6")], "XLV": []}
    for ticker, expected in restated.items():
        found = explain(next_day.world.database, ticker, AS_OF, sessions)
        assert [(r.kind, f"{r.ratio:.2g}") for r in found.restatements] == expected
        # Both ends of each return are restated alike, so the closes that are served now still give the stored return.
        for period in found.returns:
            assert period.return_pct == before[(AS_OF, ticker, period.sessions)]["return_pct"]
            assert period.served_return_pct == pytest.approx(period.return_pct, abs=Decimal("0.0001"))
        assert "as they are served now give" not in render_explanation(found)


def test_republish_restores_what_a_lost_database_knew_of_restatements(next_day: FetchWorld) -> None:
    assert next_day.run(as_of=NEXT_DAY, now=NEXT_MORNING).exit_code == 0
    kept = "SELECT ticker, run_id, kind, ratio, rows_restated, first_trade_date, last_trade_date, noticed_at"
    query = f"{kept} FROM logs_price_restatement ORDER BY ticker"
    known = next_day.world.query(query)
    assert [row[0] for row in known] == ["XLE", "XLF", "XLK"]
    with next_day.world.owner.connect() as connection:
        connection.execute("TRUNCATE logs_price_restatement")
    for tables, expected in ((("analytics_trending_sectors",), []), (None, known)):
        report = next_day.run("republish", NEXT_DAY, now=NEXT_MORNING, as_of_dates=(NEXT_DAY,), tables=tables)
        assert report.exit_code == 0, report.message
        assert next_day.world.query(query) == expected
    of_run = "SELECT restated_bars FROM logs_pipeline_run WHERE stage = 'republish'"
    assert set(next_day.world.query(of_run)) == {(None,)}


def incomplete(fetch_world: FetchWorld, patch: pytest.MonkeyPatch) -> int:
    fetch_world.world.emulator.market.drop_bars("XLV", NEXT_DAY)
    assert fetch_world.run(as_of=NEXT_DAY, now=NEXT_MORNING).exit_code == 65
    fetch_world.world.emulator.market = market_of_next_day()
    return 1


def crash_before_staging(fetch_world: FetchWorld, patch: pytest.MonkeyPatch) -> int:
    patch.setattr("spark_app.ingestion.charts.stage_bars", out_of_memory)
    with pytest.raises(MemoryError):
        fetch_world.run(as_of=NEXT_DAY, now=NEXT_MORNING)
    return 0


def a_run_for_the_past(fetch_world: FetchWorld, patch: pytest.MonkeyPatch) -> int:
    """It fetches all there is, and serves nothing after its own session."""
    assert fetch_world.run(as_of=sessions_ending(AS_OF, 20)[0], now=NEXT_MORNING, days=5).exit_code == 0
    return 0


def a_backfill_for_the_past(fetch_world: FetchWorld, patch: pytest.MonkeyPatch) -> int:
    """As that, by another job; it leaves out QQQ."""
    past = sessions_ending(AS_OF, 20)[0]
    assert fetch_world.run("backfill_etf_benchmarks", past, now=NEXT_MORNING, days=5).exit_code == 0
    return 1


def out_of_memory(*_: object, **__: object) -> None:
    raise MemoryError


@pytest.mark.parametrize("trouble", [incomplete, crash_before_staging, a_run_for_the_past, a_backfill_for_the_past])
def test_a_restatement_that_could_not_be_served_is_served_by_the_next_run(next_day: FetchWorld, trouble: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        asked_again = trouble(next_day, patch)
    next_day.forget_log()
    report = next_day.run(as_of=NEXT_DAY, now=NEXT_MORNING)
    assert report.exit_code == 0, report.message
    assert sum(next_day.asked().values()) == asked_again
    assert "XLK split x0.25 in 31 sessions" in report.message
    assert not differences(served_prices(next_day), right_prices())


def test_a_restatement_that_another_run_has_staged_meanwhile_is_served(
    next_day: FetchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_bars = charts.stage_bars

    def stage_after_another_run(context: Any, *args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        assert next_day.run(STAGE2, NEXT_DAY, now=NEXT_MORNING).exit_code == 0
        return stage_bars(context, *args, **options)

    monkeypatch.setattr(charts, "stage_bars", stage_after_another_run)
    report = next_day.run(as_of=NEXT_DAY, now=NEXT_MORNING)
    assert "restated: XLE dividend x0.6" in report.message
    assert not differences(served_prices(next_day), right_prices())


def test_the_bar_of_a_session_under_way_is_not_stored(fetch_world: FetchWorld) -> None:
    def with_today(payload: dict[str, Any]) -> dict[str, Any]:
        result = payload["chart"]["result"][0]
        result["timestamp"].append(int(IN_THE_SESSION.timestamp()) - 60)
        for column in (*result["indicators"]["quote"][0].values(), result["indicators"]["adjclose"][0]["adjclose"]):
            column.append(column[-1])
        return payload

    added = fetch_world.world.emulator.fail("chart", edit=with_today)
    assert fetch_world.run(STAGE1, NEXT_DAY, now=IN_THE_SESSION).exit_code == 0
    assert added.hits == 13
    assert IN_THE_SESSION.date() == LAST_DAY
    assert max(row["trade_date"] for row in fetch_world.staged("bars")) == NEXT_DAY
