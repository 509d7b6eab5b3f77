"""Which sectors and stocks of the synthetic market are ahead, worked out with pandas from the bars alone."""

from __future__ import annotations

import datetime as dt
from functools import cache

import exchange_calendars
import pandas as pd
import pytest

from spark_app.sources.contract import Kind
from spark_app.sources.synthetic.source import SyntheticSource
from spark_app.universe import SECTOR_NAMES
from tests.sources.synthetic.synthetic_answers import SESSIONS, fetch_one, make_source, quote_of

STOCKS = {fund: [f"Z{fund}{number:02d}" for number in range(1, 13)] for fund in SECTOR_NAMES}
TOP_N = 5


@cache
def exchange_sessions() -> tuple[dt.date, ...]:
    """Every session that the calendar knows, from 2015 on: a demo may be run on any of them."""
    calendar = exchange_calendars.get_calendar("XNYS", start="2015-01-02")
    return tuple(session.date() for session in calendar.sessions)


def returns_over_20_sessions(
    source: SyntheticSource, tickers: list[str], sessions: tuple[dt.date, ...]
) -> pd.DataFrame:
    charts = {ticker: fetch_one(source, Kind.CHART, ticker).bars for ticker in tickers}
    closes = {t: pd.Series({bar.trade_date: bar.adj_close_price for bar in bars}) for t, bars in charts.items()}
    prices = pd.DataFrame(closes, index=sessions)
    return (prices / prices.shift(20) - 1).iloc[20:]


def trending(returns: pd.DataFrame) -> pd.DataFrame:
    sectors = returns[list(SECTOR_NAMES)]
    return sectors.gt(returns["SPY"], axis=0) & sectors.gt(0)


def positions(source: SyntheticSource, funds: pd.DataFrame, stocks: pd.DataFrame) -> pd.Series:
    """Count the positions of each session: members of trending sectors with a market cap that beat their fund."""
    has_cap = {t: quote_of(source, t).market_cap is not None for t in map(str, stocks)}
    counts = pd.DataFrame(
        {
            fund: stocks[[t for t in members if has_cap[t]]].gt(funds[fund], axis=0).sum(axis=1).clip(upper=TOP_N)
            for fund, members in STOCKS.items()
        }
    )
    return counts.where(trending(funds), 0).sum(axis=1)


@pytest.mark.parametrize("seed", [20, 7])
def test_on_every_session_two_sectors_trend_and_six_stocks_are_ahead(seed: int) -> None:
    sessions = exchange_sessions()
    source = make_source(sessions, seed=seed)
    funds = returns_over_20_sessions(source, ["SPY", *SECTOR_NAMES], sessions)
    stocks = returns_over_20_sessions(source, [t for members in STOCKS.values() for t in members], sessions)
    assert trending(funds).sum(axis=1).min() >= 2
    assert positions(source, funds, stocks).min() >= 6


@cache
def sectors_left_to_chance() -> list[int]:
    """How many sectors trend on each session of a market without appointed leaders."""
    source = make_source(leading_sectors=0)
    return trending(returns_over_20_sessions(source, ["SPY", *SECTOR_NAMES], SESSIONS)).sum(axis=1).tolist()


@pytest.mark.parametrize("last", range(300, len(SESSIONS), 125))
def test_left_to_chance_any_250_dates_hold_some_with_trending_sectors_and_some_without(last: int) -> None:
    counts = sectors_left_to_chance()[last - 270 : last - 20]
    assert sum(count == 0 for count in counts) >= 5
    assert sum(2 <= count <= 9 for count in counts) >= 100


def test_the_market_moves_by_more_than_its_leaders() -> None:
    """Leaders do not make every day a good one: the benchmark still has sell-offs."""
    source = make_source()
    funds = returns_over_20_sessions(source, ["SPY", *SECTOR_NAMES], SESSIONS)
    assert funds["SPY"].min() < -0.05
    assert 3 < trending(funds).sum(axis=1).mean() < 6
