"""The facts about the funds."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd

from spark_app import market_calendar
from spark_app.universe import ALWAYS, FIRST_SESSIONS, OPEN, PRICED_FUNDS, Rename, tickers_of


def test_the_first_session_of_each_priced_fund_is_a_session() -> None:
    assert FIRST_SESSIONS.keys() == set(PRICED_FUNDS)
    assert all(market_calendar.is_session(day) for day in FIRST_SESSIONS.values())


def test_the_two_youngest_funds_begin_as_their_real_prices_do(shared_data: Path) -> None:
    bars = pd.read_parquet(shared_data / "market_data" / "etf_daily.parquet", columns=["ticker", "trade_date"])
    first = bars.groupby("ticker")["trade_date"].min().astype(str)
    assert [first[fund] for fund in ("XLC", "XLRE")] == [str(FIRST_SESSIONS[fund]) for fund in ("XLC", "XLRE")]


def test_a_stock_has_each_of_its_tickers_for_the_dates_of_that_ticker() -> None:
    nlok, gen, meta, fund = (dt.date(2019, 11, 5), dt.date(2022, 11, 8), dt.date(2022, 6, 9), dt.date(2026, 1, 2))
    renames = [Rename("NLOK", "GEN", gen), Rename("SYMC", "NLOK", nlok)]
    assert tickers_of("GEN", renames) == [("GEN", ALWAYS, OPEN), ("NLOK", ALWAYS, gen), ("SYMC", ALWAYS, nlok)]
    # A ticker that a second company had, and a third one has now.
    renames = [Rename("FB", "ZUCK", fund), Rename("FB", "META", meta)]
    assert tickers_of("META", renames) == [("FB", ALWAYS, meta), ("META", ALWAYS, OPEN)]
    assert tickers_of("ZUCK", renames) == [("FB", meta, fund), ("ZUCK", ALWAYS, OPEN)]
    assert tickers_of("FB", renames) == [("FB", fund, OPEN)]
    assert tickers_of("AAPL", []) == [("AAPL", ALWAYS, OPEN)]
