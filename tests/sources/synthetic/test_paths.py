"""Price paths of the synthetic market, checked from the bars alone."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import statistics
from functools import cache

import pytest

from spark_app.sources.contract import Kind
from spark_app.universe import SECTOR_NAMES
from tests.sources.synthetic.synthetic_answers import (
    FUND_TICKERS,
    SESSIONS,
    bars_of,
    fetch_one,
    full,
    later_split_ratio,
    make_source,
    stock_tickers,
)


@cache
def daily_log_returns(ticker: str) -> dict[dt.date, float]:
    return {
        bar.trade_date: math.log(bar.adj_close_price / before.adj_close_price)
        for before, bar in itertools.pairwise(bars_of(ticker))
    }


def test_sectors_and_stocks_move_on_their_own() -> None:
    tickers = (*SECTOR_NAMES, "ZXLK01", "ZXLK02")
    assert len({tuple(daily_log_returns(ticker).values()) for ticker in tickers}) == len(tickers)


def test_bars_are_ordered_unique_and_on_sessions() -> None:
    for ticker in (*FUND_TICKERS, *stock_tickers()):
        dates = [bar.trade_date for bar in bars_of(ticker)]
        assert dates == sorted(set(dates))
        assert set(dates) <= set(SESSIONS)


def test_high_and_low_enclose_open_and_close() -> None:
    for ticker in (*FUND_TICKERS, *stock_tickers()):
        for bar in bars_of(ticker):
            assert bar.high_price >= max(bar.open_price, bar.close_price)
            assert 0 < bar.low_price <= min(bar.open_price, bar.close_price)
            assert 0 < bar.adj_close_price <= bar.close_price
            assert bar.volume > 0


def test_open_high_low_and_close_are_four_prices() -> None:
    distinct = [len({bar.open_price, bar.high_price, bar.low_price, bar.close_price}) == 4 for bar in bars_of("XLV")]
    assert statistics.mean(distinct) > 0.9


def test_bars_hold_plain_python_numbers() -> None:
    types = {tuple(type(value) for value in vars(bar).values()) for bar in bars_of("ZXLK01")}
    assert types == {(dt.date, *[float] * 5, int, float, float)}


def test_only_stocks_miss_bars_and_about_one_in_a_thousand() -> None:
    assert all(len(bars_of(fund)) == len(SESSIONS) for fund in FUND_TICKERS)
    stocks = stock_tickers()
    missing_frac = 1 - sum(len(bars_of(stock)) for stock in stocks) / (len(stocks) * len(SESSIONS))
    assert 0.0007 < missing_frac < 0.0013


def test_few_stocks_lack_the_last_session() -> None:
    up_to_date = sum(bars_of(stock)[-1].trade_date == SESSIONS[-1] for stock in stock_tickers())
    assert up_to_date >= 0.97 * len(stock_tickers())


def test_adjusted_close_grows_by_the_close_over_the_ex_dividend_price_before() -> None:
    for ticker in (*FUND_TICKERS, *stock_tickers()):
        bars = bars_of(ticker)
        assert bars[-1].adj_close_price == bars[-1].close_price
        for before, bar in itertools.pairwise(bars):
            growth = bar.adj_close_price / before.adj_close_price
            assert growth == pytest.approx(bar.close_price / (before.close_price - bar.dividend), rel=1e-5)


def test_funds_pay_every_quarter_and_most_stocks_too() -> None:
    ex_positions = [n for n, bar in enumerate(bars_of("SPY")) if bar.dividend > 0]
    assert {later - earlier for earlier, later in itertools.pairwise(ex_positions)} == {63}
    assert all(any(bar.dividend for bar in bars_of(fund)) for fund in FUND_TICKERS)
    payers = sum(any(bar.dividend for bar in bars_of(stock)) for stock in stock_tickers())
    assert 0.6 * len(stock_tickers()) < payers < 0.9 * len(stock_tickers())


def test_a_quarterly_dividend_is_below_one_percent() -> None:
    for ticker in stock_tickers():
        for before, bar in itertools.pairwise(bars_of(ticker)):
            assert 0 <= bar.dividend <= 0.01 * before.close_price


def test_each_price_was_traded_in_whole_cents_before_later_splits() -> None:
    for ticker in (*FUND_TICKERS, *stock_tickers()):
        ratio = 1.0
        for bar in reversed(bars_of(ticker)):
            cents = bar.close_price * ratio * 100
            assert cents == pytest.approx(round(cents), abs=1e-4 * max(ratio, 1))
            ratio *= bar.split_ratio


def test_a_split_leaves_the_adjusted_prices_continuous() -> None:
    splits = [
        (bar.split_ratio, bar.close_price / before.close_price)
        for ticker in stock_tickers()
        for before, bar in itertools.pairwise(bars_of(ticker))
        if bar.split_ratio != 1
    ]
    assert {ratio for ratio, _ in splits} >= {1.5, 2.0, 4.0}
    assert {ratio for ratio, _ in splits} <= {0.1, 1.5, 2.0, 4.0}
    assert all(0.85 < change < 1.15 for _, change in splits)
    assert len(splits) < 0.15 * len(stock_tickers()) * len(SESSIONS) / 252


def test_a_fallen_price_is_lifted_by_a_reverse_split() -> None:
    source = make_source(stocks=50, leading_sectors=0)
    tickers = (f"Z{sector}{number:02d}" for sector in SECTOR_NAMES for number in range(1, 51))
    charts = (full(fetch_one(source, Kind.CHART, ticker).bars) for ticker in tickers)
    bars = next(bars for bars in charts if any(bar.split_ratio < 1 for bar in bars))
    before, on_the_day = next(pair for pair in itertools.pairwise(bars) if pair[1].split_ratio < 1)
    traded_before = before.close_price * later_split_ratio(bars, before.trade_date)
    traded_on_the_day = on_the_day.close_price * later_split_ratio(bars, on_the_day.trade_date)
    assert traded_before < 6
    assert 8.5 < traded_on_the_day / traded_before < 11.5


def test_each_sector_trends_on_a_part_of_the_dates() -> None:
    closes = {ticker: [bar.adj_close_price for bar in bars_of(ticker)] for ticker in FUND_TICKERS}
    for sector in SECTOR_NAMES:
        leads = [
            closes[sector][t] / closes[sector][t - 20] > max(closes["SPY"][t] / closes["SPY"][t - 20], 1)
            for t in range(20, len(SESSIONS))
        ]
        assert 0.2 < statistics.mean(leads) < 0.65


def test_a_sector_leads_or_lags_for_weeks_not_only_by_chance() -> None:
    def variance_ratio(sector: str) -> float:
        leads = [lead - daily_log_returns("SPY")[date] for date, lead in daily_log_returns(sector).items()]
        over_20_sessions = [sum(leads[t : t + 20]) for t in range(0, len(leads) - 20, 5)]
        return statistics.variance(over_20_sessions) / (20 * statistics.variance(leads))

    # Leads that come and go by chance would have a ratio of 1.
    assert statistics.mean(variance_ratio(sector) for sector in SECTOR_NAMES) > 1.5


def test_the_benchmark_moves_as_the_sectors_do_on_average() -> None:
    by_sector = [daily_log_returns(sector) for sector in SECTOR_NAMES]
    for date, spy_return in daily_log_returns("SPY").items():
        assert spy_return == pytest.approx(statistics.mean(returns[date] for returns in by_sector), abs=0.002)


def test_a_stock_goes_with_its_own_sector_more_than_with_another() -> None:
    def correlation(stock: str, fund: str) -> float:
        stock_returns, fund_returns = daily_log_returns(stock), daily_log_returns(fund)
        shared = sorted(stock_returns.keys() & fund_returns.keys())
        return statistics.correlation([stock_returns[d] for d in shared], [fund_returns[d] for d in shared])

    for sector, other in itertools.pairwise(SECTOR_NAMES):
        own = statistics.mean(correlation(f"Z{sector}{number:02d}", sector) for number in range(1, 7))
        foreign = statistics.mean(correlation(f"Z{sector}{number:02d}", other) for number in range(1, 7))
        assert own > 0.5
        assert own > foreign + 0.05
