from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yfinance as yf
from yfinance.exceptions import YFException

from spark_app.sources.contract import Bar, Holding, Outcome
from tests.emulator import Bar as MarketBar
from tests.emulator import Event, YahooEmulator
from tests.emulator import Holding as MarketHolding
from tests.sources.yahoo.yahoo_world import (
    FRI,
    MON,
    THU,
    TUE,
    CountingLimiter,
    bar,
    chart,
    holdings,
    make_market,
    make_source,
    quotes,
)


def test_a_chart_comes_as_bars(emulator: YahooEmulator) -> None:
    (answer,) = make_source(emulator).fetch(chart("XLK", FRI, MON))
    assert (answer.ticker, answer.outcome, answer.message, answer.provider) == ("XLK", Outcome.OK, None, "yahoo")
    assert answer.bars == (
        Bar(FRI, 11.0, 11.0, 11.0, 11.0, 11.0, 100),
        Bar(MON, 12.0, 12.0, 12.0, 12.0, 12.0, 100),
    )
    (request,) = emulator.log.of("chart")
    # Midnight in New York: winter time on the 8th, summer time on the 12th.
    assert (request.query["period1"], request.query["period2"]) == ("1709874000", "1710216000")


def test_a_process_takes_one_cookie_and_one_crumb_and_one_request_a_chart(emulator: YahooEmulator) -> None:
    source = make_source(emulator)
    first, *others = [source.fetch(chart(ticker))[0] for ticker in ("XLK", "XLV", "AAPL", "XLK")]
    assert emulator.log.counts() == {"cookie": 1, "crumb": 1, "chart": 4}
    assert (first.requests, [answer.requests for answer in others]) == (3, [1, 1, 1])
    assert first.seconds > 0


def test_every_request_takes_a_slot_of_the_limiter(emulator: YahooEmulator) -> None:
    limiter = CountingLimiter()
    emulator.fail("holdings", times=1, status=401)
    source = make_source(emulator, limiter=limiter)
    for request in (chart("XLK"), holdings("XLK"), quotes("AAPL")):
        source.fetch(request)
    assert limiter.slots == len(emulator.log) > 5


def test_nothing_is_written_to_disk(emulator: YahooEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = make_source(emulator)
    for request in (chart("XLK"), holdings("XLK"), quotes("AAPL")):
        assert source.fetch(request)[0].outcome is Outcome.OK
    assert list(tmp_path.rglob("*")) == []


def test_the_same_request_is_sent_again(emulator: YahooEmulator) -> None:
    source = make_source(emulator)
    source.fetch(chart("XLK"))
    emulator.market.add_bars("XLK", bar(TUE, 99.0))
    assert source.fetch(chart("XLK"))[0].bars[-1].close_price == 99.0


def test_an_earlier_answer_is_never_taken_for_a_new_one(
    emulator: YahooEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(*args: Any, **kwargs: Any) -> None:
        raise YFException("before any request")

    source = make_source(emulator)
    source.fetch(chart("XLK"))
    monkeypatch.setattr(yf.Ticker, "history", give_up)
    assert source.fetch(chart("XLV"))[0].outcome is Outcome.TRANSIENT


def test_holdings_are_dated_with_the_day_in_new_york(emulator: YahooEmulator) -> None:
    (answer,) = make_source(emulator).fetch(holdings("XLK"))
    assert (answer.outcome, answer.provider, answer.snapshot_date) == (Outcome.OK, "yahoo", dt.date(2024, 3, 12))
    assert [(h.holding_ticker, round(h.holding_percent, 9)) for h in answer.holdings] == [
        ("AAPL", 60.0),
        ("BRK-B", 39.5),
    ]


def test_the_issuers_workbook_gives_all_holdings_with_its_own_date(emulator: YahooEmulator) -> None:
    (answer,) = make_source(emulator, holdings_provider="issuer").fetch(holdings("XLK"))
    assert (answer.outcome, answer.provider, answer.snapshot_date) == (Outcome.OK, "issuer", MON)
    assert answer.holdings == (Holding("AAPL", "APPLE INC", 60.0), Holding("BRK-B", "BERKSHIRE", 39.5))
    assert [row.reason for row in answer.skipped] == ["cash"]
    assert [request.path for request in emulator.log] == ["/holdings-daily-us-en-xlk.xlsx"]
    assert emulator.log.counts() == {"workbook": 1}


def test_a_workbook_of_tomorrow_is_malformed(emulator: YahooEmulator) -> None:
    tomorrow = dt.date(2024, 3, 13)
    emulator.market.holdings["XLK"] = emulator.market.holdings["XLK"]._replace(as_of_date=tomorrow)
    (answer,) = make_source(emulator, holdings_provider="issuer").fetch(holdings("XLK"))
    assert (answer.outcome, answer.holdings) == (Outcome.MALFORMED, ())
    assert answer.message == "the workbook of XLK is dated 2024-03-13, after today (2024-03-12)"


def test_skipped_rows_of_a_workbook_are_told(emulator: YahooEmulator) -> None:
    snapshot = emulator.market.holdings["XLK"]
    contra = MarketHolding("2602335D", "CONTRA HOLOGIC", 0.25)
    emulator.market.holdings["XLK"] = snapshot._replace(holdings=(*snapshot.holdings, contra))
    (answer,) = make_source(emulator, holdings_provider="issuer").fetch(holdings("XLK"))
    assert (answer.outcome, len(answer.holdings), len(answer.skipped)) == (Outcome.OK, 2, 2)
    assert answer.message == "rows skipped, its ticker is not that of a share listed in the United States: 2602335D"


def test_a_workbook_may_skip_as_much_weight_as_the_setting_allows(emulator: YahooEmulator) -> None:
    holding, *others = emulator.market.holdings["XLK"].holdings
    snapshot = emulator.market.holdings["XLK"]._replace(holdings=(holding._replace(ticker="AAPL GY"), *others))
    emulator.market.holdings["XLK"] = snapshot
    answers = [
        make_source(emulator, holdings_provider="issuer", skipped_holdings_percent=percent).fetch(holdings("XLK"))[0]
        for percent in (59.0, 60.0)
    ]
    assert [(a.outcome, len(a.holdings)) for a in answers] == [(Outcome.MALFORMED, 0), (Outcome.OK, 1)]


def test_a_body_that_is_too_large_costs_one_request(emulator: YahooEmulator) -> None:
    emulator.fail("chart", ticker="XLK", body=" " * 9_000_000)
    answers = [make_source(emulator, max_retries=3).fetch(chart(ticker))[0] for ticker in ("XLK", "XLV")]
    assert [(a.outcome, a.message) for a in answers] == [
        (Outcome.MALFORMED, "the answer is larger than 8 MB"),
        (Outcome.OK, None),
    ]
    assert len(emulator.log.of("chart")) == 2


def test_fifty_quotes_are_one_request() -> None:
    tickers = tuple(f"T{chr(65 + i // 26)}{chr(65 + i % 26)}" for i in range(50))
    with YahooEmulator(make_market(tickers)) as emulator:
        answers = make_source(emulator).fetch(quotes(*tickers))
        assert emulator.log.counts() == {"cookie": 1, "crumb": 1, "quote": 1}
    assert [(a.ticker, a.quote.market_cap) for a in answers if a.quote] == [
        (ticker, 10**12 + i) for i, ticker in enumerate(tickers)
    ]
    assert [a.requests for a in answers] == [3] + [0] * 49
    assert [a.seconds > 0 for a in answers] == [True] + [False] * 49


def test_an_unknown_symbol_among_quotes_is_not_found(emulator: YahooEmulator) -> None:
    answers = make_source(emulator).fetch(quotes("NOPE", "AAPL"))
    assert [(a.ticker, a.outcome, a.requests) for a in answers] == [
        ("NOPE", Outcome.NOT_FOUND, 3),
        ("AAPL", Outcome.OK, 0),
    ]


def test_of_a_duplicate_last_bar_the_newer_is_used(emulator: YahooEmulator) -> None:
    last_trade = dt.datetime(2024, 3, 12, 19, 59, tzinfo=dt.UTC)
    emulator.market.bars["XLK"] += (MarketBar(TUE, 20.0, 20.0, 20.0, 20.0, 20.0, 101, traded_at=last_trade),)
    (answer,) = make_source(emulator).fetch(chart("XLK"))
    assert [b.trade_date for b in answer.bars] == [THU, FRI, MON, TUE]
    assert (answer.bars[-1].close_price, answer.bars[-1].volume) == (20.0, 101)


def test_null_prices_of_the_last_bar_stay_null(emulator: YahooEmulator) -> None:
    emulator.market.add_bars("XLK", bar(TUE, None, 500))
    assert make_source(emulator).fetch(chart("XLK"))[0].bars[-1] == Bar(TUE, None, None, None, None, None, 500)


def test_a_null_volume_stays_null(emulator: YahooEmulator) -> None:
    emulator.market.add_bars("XLK", bar(TUE, 5.0, None))
    assert make_source(emulator).fetch(chart("XLK"))[0].bars[-1].volume is None


def test_an_event_without_its_bar_belongs_to_the_next_one(emulator: YahooEmulator) -> None:
    emulator.market.drop_bars("XLK", FRI)
    emulator.market.events["XLK"] = (Event(FRI, dividend=0.25, split_ratio=2.0), Event(MON, dividend=0.5))
    (answer,) = make_source(emulator).fetch(chart("XLK"))
    assert [(b.trade_date, b.dividend, b.split_ratio) for b in answer.bars] == [
        (THU, 0.0, 1.0),
        (MON, 0.75, 2.0),
        (TUE, 0.0, 1.0),
    ]


def test_older_rows_are_restated_by_a_split_that_is_listed_twice(emulator: YahooEmulator) -> None:
    # The closes 10, 11, 12, 13 are of today; before MON they are given in the old shares, ten times as high.
    old = [bar(day, close) for day, close in ((THU, 100.0), (FRI, 110.0))]
    emulator.market.add_bars("XLK", *old)
    emulator.market.events["XLK"] = (Event(FRI, split_ratio=10.0), Event(MON, split_ratio=10.0))
    (answer,) = make_source(emulator).fetch(chart("XLK"))
    assert [(b.trade_date, b.close_price, b.volume, b.split_ratio) for b in answer.bars] == [
        (THU, 10.0, 1000, 1.0),
        (FRI, 11.0, 1000, 1.0),
        (MON, 12.0, 100, 10.0),
        (TUE, 13.0, 100, 1.0),
    ]
    assert answer.message == (
        "split 10:1 listed on 2024-03-08 and 2024-03-11: counted on 2024-03-11; "
        "rows before 2024-03-11 restated by the split 10:1"
    )


def test_a_split_whose_two_dates_fall_on_one_bar_counts_once(emulator: YahooEmulator) -> None:
    emulator.market.drop_bars("XLK", FRI)
    emulator.market.events["XLK"] = (Event(FRI, split_ratio=10.0), Event(MON, split_ratio=10.0))
    (answer,) = make_source(emulator).fetch(chart("XLK"))
    assert [(b.trade_date, b.split_ratio) for b in answer.bars] == [(THU, 1.0), (MON, 10.0), (TUE, 1.0)]
