"""Loads the emulator's market from pandas frames in the columns of recorded market data."""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict

import pandas as pd

from tests.emulator.market import NEW_YORK, Bar, Event, Holding, Quote, Snapshot


def bars_by_ticker(bars: pd.DataFrame) -> dict[str, list[Bar]]:
    """Columns in: ticker, trade_date, open, high, low, close, adj_close, volume."""
    found: dict[str, list[Bar]] = defaultdict(list)
    prices = [map(_or_none, bars[name].tolist()) for name in ("open", "high", "low", "close", "adj_close")]
    volumes = [None if math.isnan(volume) else int(volume) for volume in bars["volume"].tolist()]
    rows = map(Bar, _dates(bars["trade_date"]), *prices, volumes)
    for ticker, bar in zip(bars["ticker"], rows, strict=True):
        found[ticker].append(bar)
    return dict(found)


def events_by_ticker(events: pd.DataFrame) -> dict[str, list[Event]]:
    """Columns in: ticker, ex_date, dividend, split_ratio (0 or 1 = none)."""
    found: dict[str, list[Event]] = defaultdict(list)
    columns = (events[name].fillna(0.0).tolist() for name in ("dividend", "split_ratio"))
    for ticker, day, dividend, ratio in zip(events["ticker"], _dates(events["ex_date"]), *columns, strict=True):
        found[ticker].append(Event(day, dividend, ratio or 1.0))
    return dict(found)


def holdings_by_fund(holdings: pd.DataFrame) -> dict[str, Snapshot]:
    """Columns in: etf_ticker, holding_ticker, holding_name, holding_percent, as_of_date, shares (optional)."""
    dated = holdings.assign(as_of_date=_dates(holdings["as_of_date"]))
    newest = dated[dated["as_of_date"] == dated.groupby("etf_ticker")["as_of_date"].transform("max")]
    return {str(fund): _snapshot(rows) for fund, rows in newest.groupby("etf_ticker")}


def quotes_by_ticker(quotes: pd.DataFrame) -> dict[str, Quote]:
    """Columns in: ticker, name, market_cap, price, as_of_date; each quote is of 16:00 New York, the newest counts."""
    dated = quotes.assign(as_of_date=_dates(quotes["as_of_date"])).sort_values("as_of_date")
    columns = (dated[name].tolist() for name in ("ticker", "name", "market_cap", "price", "as_of_date"))
    return {ticker: _quote(*row) for ticker, *row in zip(*columns, strict=True)}


def _snapshot(rows: pd.DataFrame) -> Snapshot:
    shares = pd.to_numeric(rows["shares"], errors="coerce").fillna(0.0) if "shares" in rows else [0.0] * len(rows)
    columns = (rows["holding_ticker"], rows["holding_name"], rows["holding_percent"], shares)
    holdings = [Holding(t, n, float(p), float(s)) for t, n, p, s in zip(*columns, strict=True)]
    return Snapshot(rows["as_of_date"].iloc[0], tuple(sorted(holdings, key=lambda h: -h.percent)))


def _quote(name: str, market_cap: float, price: float, day: dt.date) -> Quote:
    close = dt.datetime.combine(day, dt.time(16), tzinfo=NEW_YORK)
    return Quote(None if math.isnan(market_cap) else int(market_cap), _or_none(price), close, name, name)


def _dates(values: pd.Series) -> list[dt.date]:
    return pd.to_datetime(values).dt.date.tolist()


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
