"""Random markets and targets for the engine: falls, gaps, stocks that begin late and end early."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from spark_app.backtest.engine import Numbers, Prices


def random_market(seed: int, sessions: int = 120, tickers: int = 6) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Adjusted closes and opens, sessions x tickers, with NaN."""
    random = np.random.default_rng(seed)
    dates = [dt.date(2020, 1, 1) + dt.timedelta(days=n) for n in range(sessions)]
    names = [f"T{n}" for n in range(tickers)]
    closes = 50 * np.exp(np.cumsum(random.normal(0, 0.03, (sessions, tickers)), axis=0))
    opens = closes * np.exp(random.normal(0, 0.01, (sessions, tickers)))
    closes[random.random(closes.shape) < 0.05] = np.nan
    opens[np.isnan(closes) | (random.random(opens.shape) < 0.03)] = np.nan
    closes[: sessions // 4, -1] = opens[: sessions // 4, -1] = np.nan
    closes[sessions // 2 :, 0] = opens[sessions // 2 :, 0] = np.nan
    return pd.DataFrame(closes, dates, names), pd.DataFrame(opens, dates, names)


def random_targets(seed: int, closes: pd.DataFrame, every: int) -> dict[dt.date, dict[str, float]]:
    """Weights with eight decimals, which sum to 1 or less, sometimes to 0."""
    random = np.random.default_rng(seed)
    found = {}
    for date in closes.index[::every]:
        parts = np.where(random.random(closes.shape[1]) < 0.5, random.random(closes.shape[1]), 0)
        scale = random.choice([0.0, 0.7, 1.0]) / max(parts.sum(), 1e-9)
        found[date] = {t: float(np.floor(p * scale * 1e8) / 1e8) for t, p in zip(closes.columns, parts, strict=True)}
    return found


def as_prices(closes: pd.DataFrame, opens: pd.DataFrame | None) -> Prices:
    return Prices(
        tuple(closes.index),
        tuple(closes.columns),
        closes.to_numpy(dtype=float),
        None if opens is None else opens.to_numpy(dtype=float),
    )


def as_numbered(closes: pd.DataFrame, targets: Mapping[dt.date, Mapping[str, float]]) -> dict[int, Numbers]:
    dates = list(closes.index)
    return {
        dates.index(date): np.array([weights.get(t, 0.0) for t in closes.columns]) for date, weights in targets.items()
    }


def real_funds(shared_data: Path) -> pd.DataFrame:
    """Bars of SPY and the sector funds: ticker, trade_date, adjusted close and adjusted open."""
    bars = pd.read_parquet(shared_data / "market_data" / "etf_daily.parquet")
    bars["trade_date"] = pd.to_datetime(bars["trade_date"]).dt.date
    bars["adj_open"] = bars["open"] * bars["adj_close"] / bars["close"]
    return bars[bars["ticker"] != "QQQ"]
