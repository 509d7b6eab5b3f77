"""The answers of the synthetic source: typed, and the same in every process."""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import sys

import pytest

from spark_app.errors import SettingsError
from spark_app.sources.contract import FetchRequest, Kind, Outcome
from spark_app.universe import SECTOR_NAMES
from tests.sources.synthetic.synthetic_answers import (
    FIRST_DAY,
    FUND_TICKERS,
    SESSIONS,
    bars_of,
    digest_everything,
    fetch_one,
    full,
    later_split_ratio,
    make_source,
    quote_of,
    stock_tickers,
)


def test_another_process_asking_in_another_order_gets_the_same_market() -> None:
    tickers = (*FUND_TICKERS, "ZXLK01", "ZXLY01", "ZXLRE12")
    script = (
        "from tests.sources.synthetic.synthetic_answers import digest_everything\n"
        f"print('\\n'.join(digest_everything({tuple(reversed(tickers))!r})))"
    )
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        other = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert other.stdout.split() == digest_everything(tickers)


def test_another_seed_makes_another_market() -> None:
    other = make_source(seed=21)
    assert full(fetch_one(other, Kind.CHART, "XLK").bars) != bars_of("XLK")
    assert fetch_one(other, Kind.QUOTE, "ZXLK01") != fetch_one(make_source(), Kind.QUOTE, "ZXLK01")


@pytest.mark.parametrize("ticker", ["XLE", "ZXLE03"])
@pytest.mark.parametrize(("start", "end"), [(0, 0), (0, 700), (1500, 1520), (2700, len(SESSIONS) - 1)])
def test_a_window_shows_the_bars_of_the_whole_path_between_its_ends(ticker: str, start: int, end: int) -> None:
    first, last = SESSIONS[start], SESSIONS[end]
    expected = tuple(bar for bar in bars_of(ticker) if first <= bar.trade_date <= last)
    assert full(fetch_one(make_source(), Kind.CHART, ticker, first, last).bars) == expected


def test_a_window_from_saturday_to_sunday_holds_the_week_between() -> None:
    bars = fetch_one(make_source(), Kind.CHART, "SPY", dt.date(2020, 2, 1), dt.date(2020, 2, 9)).bars
    assert [bar.trade_date.day for bar in bars] == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("ticker", ["SPY", "XLF", "ZXLK01", "ZXLP01"])
@pytest.mark.parametrize("sessions", [100, 1400, 2800])
def test_later_sessions_restate_the_past_but_do_not_change_it(ticker: str, sessions: int) -> None:
    shorter = make_source(SESSIONS[:sessions])
    earlier_bars = full(fetch_one(shorter, Kind.CHART, ticker).bars)
    later_bars = bars_of(ticker)
    ratio = later_split_ratio(later_bars, SESSIONS[sessions - 1])
    assert [b.trade_date for b in earlier_bars] == [
        b.trade_date for b in later_bars if b.trade_date <= SESSIONS[sessions - 1]
    ]
    for earlier, later in zip(earlier_bars, later_bars, strict=False):
        assert later.split_ratio == earlier.split_ratio
        assert later.close_price * ratio == pytest.approx(earlier.close_price, abs=1e-5 * ratio)
        assert later.dividend * ratio == pytest.approx(earlier.dividend, abs=1e-5 * ratio)
        assert later.volume / ratio == pytest.approx(earlier.volume, rel=1e-5)


def test_a_session_more_does_not_change_a_single_price_without_dividend_or_split() -> None:
    assert bars_of("XLU")[-1].dividend == 0
    assert full(fetch_one(make_source(SESSIONS[:-1]), Kind.CHART, "XLU").bars) == bars_of("XLU")[:-1]


@pytest.mark.parametrize("kind", list(Kind))
def test_an_unknown_ticker_is_not_found(kind: Kind) -> None:
    known, unknown, too_high = make_source().fetch(FetchRequest(kind, ("XLK", "AAPL", "ZXLK13")))
    assert [known.outcome, unknown.outcome, too_high.outcome] == ["ok", "not_found", "not_found"]
    assert unknown.message is not None
    assert "AAPL" in unknown.message


@pytest.mark.parametrize("kind", list(Kind))
def test_answers_keep_the_order_of_the_request_and_cost_nothing(kind: Kind) -> None:
    tickers = ("XLY", "XLB", "NONE", "SPY")
    answers = make_source().fetch(FetchRequest(kind, tickers))
    assert tuple(answer.ticker for answer in answers) == tickers
    assert {(answer.requests, answer.provider) for answer in answers} == {(0, "synthetic")}


def test_before_the_first_and_after_the_last_session_there_is_no_data() -> None:
    day = dt.timedelta(1)
    before = fetch_one(make_source(), Kind.CHART, "SPY", FIRST_DAY - 30 * day, FIRST_DAY - day)
    after = fetch_one(make_source(), Kind.CHART, "SPY", SESSIONS[-1] + day, SESSIONS[-1] + 30 * day)
    assert (before.outcome, after.outcome) == (Outcome.NO_DATA, Outcome.NO_DATA)
    assert before.bars == after.bars == ()
    assert before.message is not None
    assert "SPY" in before.message


def test_a_window_of_only_a_missing_bar_has_no_data() -> None:
    present = {bar.trade_date for bar in bars_of("ZXLK01")}
    hole = next(session for session in SESSIONS if session not in present)
    assert fetch_one(make_source(), Kind.CHART, "ZXLK01", hole, hole).outcome == Outcome.NO_DATA


def test_the_benchmark_holds_every_stock_of_every_sector() -> None:
    expected = {f"Z{sector}{number:02d}" for sector in SECTOR_NAMES for number in range(1, 13)}
    assert set(stock_tickers()) == expected
    assert len(stock_tickers()) == len(expected)


@pytest.mark.parametrize("fund", FUND_TICKERS)
def test_weights_fall_and_reach_100_percent_with_the_cash_skipped(fund: str) -> None:
    answer = fetch_one(make_source(), Kind.HOLDINGS, fund)
    weights = [holding.holding_percent for holding in answer.holdings]
    (cash,) = answer.skipped
    assert cash.holding_percent is not None
    assert weights == sorted(weights, reverse=True)
    assert weights[0] > weights[-1] > 0
    assert 99.5 < sum(weights) < 100
    assert sum(weights) + cash.holding_percent == pytest.approx(100, abs=1e-9)
    assert cash.reason == "cash"


def test_a_few_large_companies_lead_each_sector_from_the_start() -> None:
    young_market = make_source(SESSIONS[:5])
    for fund in SECTOR_NAMES:
        holdings = fetch_one(young_market, Kind.HOLDINGS, fund).holdings
        assert holdings[0].holding_percent > 4 * holdings[11].holding_percent


def test_weights_are_in_proportion_to_market_caps() -> None:
    source = make_source()
    holdings = fetch_one(source, Kind.HOLDINGS, "XLI").holdings
    caps = {h.holding_ticker: quote_of(source, h.holding_ticker).market_cap for h in holdings}
    percent_per_usd = [h.holding_percent / cap for h in holdings if (cap := caps[h.holding_ticker]) is not None]
    assert len(percent_per_usd) > 5
    assert max(percent_per_usd) == pytest.approx(min(percent_per_usd), rel=1e-5)


def test_one_stock_is_in_a_second_sector_fund_with_a_smaller_weight() -> None:
    source = make_source()
    weights = {
        fund: {h.holding_ticker: h.holding_percent for h in fetch_one(source, Kind.HOLDINGS, fund).holdings}
        for fund in SECTOR_NAMES
    }
    foreign = [(f, t) for f, by_ticker in weights.items() for t in by_ticker if not re.fullmatch(rf"Z{f}\d+", t)]
    assert foreign == [("XLC", "ZXLY01")]
    assert 0 < weights["XLC"]["ZXLY01"] < weights["XLY"]["ZXLY01"]


def test_tickers_and_names_tell_that_the_companies_do_not_exist() -> None:
    for fund in SECTOR_NAMES:
        for holding in fetch_one(make_source(), Kind.HOLDINGS, fund).holdings:
            assert re.fullmatch(r"ZXL[A-Z]{1,2}\d{2}", holding.holding_ticker)
            assert str(holding.holding_name).startswith("Synthetic ")
    assert quote_of(make_source(), "ZXLK01").long_name == "Synthetic Information Technology 01"


def test_a_snapshot_is_of_the_newest_session_not_after_the_window() -> None:
    source = make_source()
    friday, sunday = dt.date(2022, 7, 8), dt.date(2022, 7, 10)
    on_sunday = fetch_one(source, Kind.HOLDINGS, "XLF", None, sunday)
    assert fetch_one(source, Kind.HOLDINGS, "XLF").snapshot_date == SESSIONS[-1]
    assert on_sunday.snapshot_date == friday
    assert on_sunday == fetch_one(source, Kind.HOLDINGS, "XLF", None, friday)
    assert on_sunday.holdings != fetch_one(source, Kind.HOLDINGS, "XLF").holdings


def test_a_past_snapshot_is_the_one_that_was_given_then() -> None:
    then = fetch_one(make_source(SESSIONS[:1500]), Kind.HOLDINGS, "XLP").holdings
    now = fetch_one(make_source(), Kind.HOLDINGS, "XLP", None, SESSIONS[1499]).holdings
    assert {h.holding_ticker: h.holding_percent for h in now} == pytest.approx(
        {h.holding_ticker: h.holding_percent for h in then}, rel=1e-5
    )


def test_holdings_before_the_first_session_and_of_a_stock_have_no_data() -> None:
    source = make_source()
    too_early = fetch_one(source, Kind.HOLDINGS, "XLF", None, FIRST_DAY - dt.timedelta(1))
    no_fund = fetch_one(source, Kind.HOLDINGS, "ZXLF01")
    assert (too_early.outcome, no_fund.outcome) == (Outcome.NO_DATA, Outcome.NO_DATA)


def test_a_sector_may_have_more_than_99_stocks() -> None:
    source = make_source(SESSIONS[-30:], stocks=120)
    tickers = {holding.holding_ticker for holding in fetch_one(source, Kind.HOLDINGS, "XLU").holdings}
    assert len(tickers) == 120
    assert {"ZXLU01", "ZXLU99", "ZXLU100", "ZXLU120"} <= tickers


def test_more_stocks_do_not_change_those_already_there() -> None:
    assert full(fetch_one(make_source(stocks=40), Kind.CHART, "ZXLB07").bars) == bars_of("ZXLB07")


def test_a_quote_carries_the_last_close_and_the_whole_companys_value() -> None:
    source = make_source()
    for ticker in stock_tickers():
        quote = quote_of(source, ticker)
        if bars_of(ticker)[-1].trade_date == SESSIONS[-1]:
            assert quote.price == bars_of(ticker)[-1].close_price
        if quote.market_cap is not None and quote.price is not None:
            assert isinstance(quote.market_cap, int)
            shares = quote.market_cap / quote.price
            assert shares == pytest.approx(round(shares), abs=0.5 / quote.price + 1e-6)
            assert 1e9 < quote.market_cap < 1e13


def test_a_few_stocks_report_no_market_cap() -> None:
    source = make_source()
    missing = [ticker for ticker in stock_tickers() if quote_of(source, ticker).market_cap is None]
    assert 1 <= len(missing) <= 10


def test_funds_report_no_market_cap() -> None:
    quote = quote_of(make_source(), "SPY")
    assert quote.market_cap is None
    assert quote.price == bars_of("SPY")[-1].close_price


def test_shares_outstanding_multiply_with_a_split() -> None:
    def shares(sessions: int) -> float:
        quote = quote_of(make_source(SESSIONS[:sessions]), ticker)
        assert quote.market_cap is not None
        assert quote.price is not None
        return quote.market_cap / quote.price

    ticker, split = next(
        (ticker, bar)
        for ticker in stock_tickers()
        for bar in bars_of(ticker)
        if bar.split_ratio == 4 and quote_of(make_source(), ticker).market_cap
    )
    position = SESSIONS.index(split.trade_date)
    assert shares(position + 1) / shares(position) == pytest.approx(4, rel=1e-6)


@pytest.mark.parametrize(
    ("last_session", "close_utc"),
    [(dt.date(2024, 1, 16), dt.time(21)), (dt.date(2024, 7, 16), dt.time(20))],
)
def test_a_quote_is_of_the_last_close_in_new_york(last_session: dt.date, close_utc: dt.time) -> None:
    quote = quote_of(make_source(SESSIONS[: SESSIONS.index(last_session) + 1]), "ZXLE02")
    assert quote.quote_date == last_session
    assert quote.quoted_at == dt.datetime.combine(last_session, close_utc, dt.UTC)
    assert quote.quoted_at.tzinfo == dt.UTC


@pytest.mark.parametrize(("sessions", "stocks"), [((), 12), (SESSIONS, 0)])
def test_a_market_without_sessions_or_stocks_is_refused(sessions: tuple[dt.date, ...], stocks: int) -> None:
    with pytest.raises(SettingsError):
        make_source(sessions, stocks=stocks)
