"""The facts about the funds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from spark_app import market_calendar
from spark_app.universe import FIRST_SESSIONS, PRICED_FUNDS


def test_the_first_session_of_each_priced_fund_is_a_session() -> None:
    assert FIRST_SESSIONS.keys() == set(PRICED_FUNDS)
    assert all(market_calendar.is_session(day) for day in FIRST_SESSIONS.values())


def test_the_two_youngest_funds_begin_as_their_real_prices_do(shared_data: Path) -> None:
    bars = pd.read_parquet(shared_data / "market_data" / "etf_daily.parquet", columns=["ticker", "trade_date"])
    first = bars.groupby("ticker")["trade_date"].min().astype(str)
    assert [first[fund] for fund in ("XLC", "XLRE")] == [str(FIRST_SESSIONS[fund]) for fund in ("XLC", "XLRE")]
