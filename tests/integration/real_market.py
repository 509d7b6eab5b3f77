"""Real prices, dividends, splits, holdings and market caps as the emulator's market.

The market is Yahoo's as it stood after the close of 2022-12-05: closes on the price basis of that day, no event after
it. The files carry the basis of 2024, so the splits since then are taken out again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tests.emulator import Market, Quote, Snapshot
from tests.integration.expected import NEW_TICKERS

FIRST_DAY = dt.date(2018, 1, 2)
LAST_DAY = dt.date(2022, 12, 5)
LEFT_OUT = (dt.date(2018, 4, 2), dt.date(2021, 2, 26))
"""Bars that no date of the tests needs, though dividends and splits of that time are there; they only take time."""
HOLDINGS_DAY = dt.date(2021, 8, 31)
QUOTE_DAYS = (dt.date(2018, 2, 8), dt.date(2022, 12, 5))
_PRICES = ["open", "high", "low", "close", "adj_close"]


@dataclass(frozen=True)
class RealMarket:
    """The market to serve, without quotes; the funds' shares as cleaned by hand; the quotes of each day.

    The workbooks that `market` serves are the uncleaned files: cash rows, blank names, BRK.B.
    """

    market: Market
    shares: Mapping[str, Snapshot]
    quotes: Mapping[dt.date, Mapping[str, Quote]]


def load_real_market(folder: Path) -> RealMarket:
    """Read the market data in `folder`: the 13 funds, and the stocks that the funds held on 2021-08-31."""
    served, shares = _read_holdings(folder / "holdings_raw.csv"), _read_holdings(folder / "holdings.csv")
    tickers = {"SPY", "QQQ", *shares["etf_ticker"], *shares["holding_ticker"], *NEW_TICKERS.values()}
    actions = _read_csv(folder / "corporate_actions.csv")
    # Derived rows are someone's arithmetic, not Yahoo's answer.
    actions = actions[~actions["source_repo"].str.startswith("derived")].astype(
        {"dividend": float, "split_ratio": float}
    )
    later_splits = actions[(actions["ex_date"] > LAST_DAY) & ~actions["split_ratio"].isin([0, 1])]
    ratios = later_splits.groupby("ticker")["split_ratio"].prod()
    return RealMarket(
        market=Market.from_frames(
            bars=_read_bars(folder, tickers, ratios),
            events=_restored_events(actions, tickers, ratios),
            holdings=served,
        ),
        shares=Market.from_frames(holdings=shares).holdings,
        quotes={day: _read_quotes(folder, day) for day in QUOTE_DAYS},
    )


def _read_bars(folder: Path, tickers: set[str], ratios: pd.Series) -> pd.DataFrame:
    files = (folder / "etf_daily.parquet", folder / "stock_daily.parquet")
    bars = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    is_asked_about = bars["trade_date"].between(FIRST_DAY, LAST_DAY) & ~bars["trade_date"].between(*LEFT_OUT)
    bars = bars[is_asked_about & bars["ticker"].isin(tickers)].reset_index(drop=True)
    ratio = bars["ticker"].map(ratios).fillna(1.0)
    bars[_PRICES] = bars[_PRICES].mul(ratio, axis=0)
    return bars.assign(volume=(bars["volume"] / ratio).round())


def _restored_events(actions: pd.DataFrame, tickers: set[str], ratios: pd.Series) -> pd.DataFrame:
    wanted = actions["ex_date"].between(FIRST_DAY, LAST_DAY) & actions["ticker"].isin(tickers)
    events = actions[wanted]
    return events.assign(dividend=events["dividend"] * events["ticker"].map(ratios).fillna(1.0))


def _read_holdings(file: Path) -> pd.DataFrame:
    holdings = _read_csv(file)
    of_the_day = (holdings["as_of_date"] == HOLDINGS_DAY) & (holdings["etf_ticker"] != "QQQ")
    return holdings[of_the_day].astype({"holding_percent": float}).reset_index(drop=True)


def _read_quotes(folder: Path, day: dt.date) -> Mapping[str, Quote]:
    quotes = _read_csv(folder / "market_cap.csv")
    quotes = quotes[quotes["as_of_date"] == day]
    numbers = {name: pd.to_numeric(quotes[name]) for name in ("market_cap", "price")}
    return Market.from_frames(quotes=quotes.assign(**numbers)).quotes


def _read_csv(file: Path) -> pd.DataFrame:
    """Read all columns as text, for NA and TRUE are tickers; dates as dates."""
    rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    dates = {name: pd.to_datetime(rows[name]).dt.date for name in ("ex_date", "as_of_date") if name in rows}
    return rows.assign(**dates)
