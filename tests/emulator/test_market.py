import datetime as dt
from pathlib import Path

import pandas as pd
import pytest

from tests.emulator import CASH_ROWS, Bar, Event, Holding, Market
from tests.emulator.sample import JANUARY_2, JANUARY_3, SPY_BARS


def test_split_restates_what_came_before_it() -> None:
    market = Market(bars={"XLK": SPY_BARS}, events={"XLK": [Event(JANUARY_2, dividend=0.8)]})

    market.add_split("XLK", JANUARY_3, 4)

    assert market.bars["XLK"] == (Bar(JANUARY_2, 2.5, 3.0, 2.25, 2.75, 2.69, 400), SPY_BARS[1])
    assert market.events["XLK"] == (Event(JANUARY_2, dividend=0.2), Event(JANUARY_3, split_ratio=4))


def test_dividend_restates_adjusted_closes_before_it() -> None:
    market = Market(bars={"XLK": SPY_BARS})

    market.add_dividend("XLK", JANUARY_3, 1.1)  # a tenth of the close before it, 11.0

    assert [bar.adj_close for bar in market.bars["XLK"]] == [pytest.approx(9.684), 10.5]
    assert [bar.close for bar in market.bars["XLK"]] == [11.0, 10.5]
    assert market.events["XLK"] == (Event(JANUARY_3, dividend=1.1),)


def test_null_prices_survive_a_split() -> None:
    market = Market(bars={"XLK": [Bar(JANUARY_2, None, None, None, None, None, None)]})

    market.add_split("XLK", JANUARY_3, 2)

    assert market.bars["XLK"] == (Bar(JANUARY_2, None, None, None, None, None, None),)


def test_added_bars_replace_those_of_their_dates() -> None:
    market = Market(bars={"XLK": SPY_BARS})
    restated = SPY_BARS[1]._replace(close=10.6)

    market.add_bars("XLK", restated)
    market.drop_bars("XLK", JANUARY_2)

    assert market.bars["XLK"] == (restated,)


def test_bars_are_sorted_by_time() -> None:
    assert Market(bars={"XLK": reversed(SPY_BARS)}).bars["XLK"] == SPY_BARS


@pytest.mark.parametrize(("ticker", "is_share"), [("BRK.B", True), ("IX", True), ("XAR", True), ("NA", True)])
def test_shares_are_shares(ticker: str, is_share: bool) -> None:
    assert Holding(ticker, "", 1.0).is_share is is_share


def test_cash_rows_are_no_shares() -> None:
    assert not any(row.is_share for row in CASH_ROWS)


def test_frames_become_the_same_plain_data() -> None:
    bars = pd.DataFrame(
        {
            "ticker": ["SPY", "SPY"],
            "trade_date": ["2025-01-02", "2025-01-03"],
            "open": [10.0, None],
            "high": [12.0, 12.5],
            "low": [9.0, 10.0],
            "close": [11.0, 10.5],
            "adj_close": [10.76, 10.5],
            "volume": [100, None],
        }
    )
    events = pd.DataFrame(
        {
            "ticker": ["SPY", "SPY"],
            "ex_date": [JANUARY_2, JANUARY_3],
            "dividend": [0.24, None],
            "split_ratio": [0.0, 2.0],
        }
    )
    quotes = pd.DataFrame(
        {
            "ticker": ["SPY", "SPY"],
            "name": ["Spider", "Spider"],
            "market_cap": [7e11, 6e11],
            "price": [11.0, 9.0],
            "as_of_date": ["2025-01-02", "2024-01-02"],
        }
    )

    market = Market.from_frames(bars, events, quotes=quotes)

    assert market.bars == {"SPY": (SPY_BARS[0], SPY_BARS[1]._replace(open=None, volume=None))}
    assert market.events == {"SPY": (Event(JANUARY_2, 0.24, 1.0), Event(JANUARY_3, 0.0, 2.0))}
    assert market.quotes["SPY"].market_cap == 700_000_000_000
    assert market.quotes["SPY"].quoted_at.astimezone(dt.UTC) == dt.datetime(2025, 1, 2, 21, 0, tzinfo=dt.UTC)


def test_holdings_frame_gives_each_funds_newest_snapshot(shared_data: Path) -> None:
    raw = pd.read_csv(shared_data / "market_data" / "holdings_raw.csv", keep_default_na=False)

    market = Market.from_frames(holdings=raw)

    # read off the file: XLB's newest snapshot is its first block of lines
    xlb = market.holdings["XLB"]
    assert xlb.as_of_date == dt.date(2026, 2, 9)
    assert len(xlb.holdings) == 29
    assert xlb.holdings[0] == Holding("LIN", "LINDE PLC", 12.851674, 1886968)
    assert [row.ticker for row in xlb.holdings if not row.is_share] == ["-", "IXDH6", "-"]
    assert market.holdings["SPY"].as_of_date == dt.date(2026, 4, 10)
