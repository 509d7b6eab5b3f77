"""The market data beside the project, as the files that `import_files` reads."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd

_BARS = {
    "open": "open_price",
    "high": "high_price",
    "low": "low_price",
    "close": "close_price",
    "adj_close": "adj_close_price",
}


def write_market_files(market_data: Path, folder: Path, *, first: dt.date = dt.date.min) -> None:
    """Write all six files: bars of funds and stocks from `first` on, closes on the basis of 2024."""
    bars = pd.concat([pd.read_parquet(market_data / f"{name}_daily.parquet") for name in ("etf", "stock")])
    bars = bars[bars["trade_date"] >= first]
    bars.rename(columns=_BARS).to_parquet(folder / "bars.parquet", index=False)
    actions = pd.read_csv(market_data / "corporate_actions.csv")
    splits = actions[actions["split_ratio"] > 0]
    splits[["ticker", "ex_date", "split_ratio"]].to_csv(folder / "splits.csv", index=False)
    dividends = actions[actions["dividend"] > 0]
    dividends[["ticker", "ex_date", "dividend"]].to_csv(folder / "dividends.csv", index=False)
    holdings = pd.read_csv(market_data / "holdings.csv").rename(columns={"as_of_date": "snapshot_date"})
    holdings.to_csv(folder / "holdings.csv", index=False)
    caps = pd.read_csv(market_data / "market_cap.csv").rename(
        columns={"as_of_date": "quote_date", "name": "company_name"}
    )
    caps[["ticker", "quote_date", "market_cap", "price", "company_name"]].to_csv(folder / "quotes.csv", index=False)
    pd.read_csv(market_data / "sp500_membership.csv").to_csv(folder / "index_membership.csv", index=False)
