"""Ticker symbols: their spelling, which may be requested, and which rows of a fund's holdings are shares."""

from __future__ import annotations

import re

from spark_app.errors import UsageError
from spark_app.sources.contract import Holding, SkippedHolding

# An allow-list: a symbol becomes part of a URL, and for twelve characters without a hyphen, which may be an
# ISIN, yfinance sends a search request first.
_TICKER = re.compile(r"[A-Z][A-Z0-9]{0,9}(-[A-Z0-9]{1,2})?")
_US_SHARE = re.compile(r"[A-Z]{1,5}(-[A-Z]{1,2})?")


def to_yahoo_symbol(symbol: str) -> str:
    """Spell a share class as Yahoo does: BRK.B and brk/b become BRK-B."""
    return symbol.strip().upper().replace(".", "-").replace("/", "-")


def is_ticker(symbol: str) -> bool:
    """Whether `symbol` is well formed and may be requested."""
    return _TICKER.fullmatch(symbol) is not None


def is_us_share(symbol: str) -> bool:
    """Whether `symbol` (in Yahoo's spelling) looks like that of a share listed in the United States."""
    return _US_SHARE.fullmatch(symbol) is not None


def parse_ticker(text: str) -> str:
    """Return the ticker that a user typed, in Yahoo's spelling.

    Raises: UsageError: it cannot be a ticker.
    """
    symbol = to_yahoo_symbol(text)
    if not is_ticker(symbol):
        raise UsageError(f"invalid ticker {text[:40]!r}: expected letters and digits such as XLK or BRK-B")
    return symbol


def classify_holding(ticker: str, name: str | None, percent: float | None) -> Holding | SkippedHolding:
    """Return a row of a holdings answer as a holding if it is a share with a valid weight (in percent), else why not.

    `ticker` is in Yahoo's spelling, "" for none.
    """
    if not ticker:
        return SkippedHolding(None, name, percent, "it has no ticker")
    if not is_us_share(ticker):
        return SkippedHolding(ticker, name, percent, "its ticker is not that of a share listed in the United States")
    if percent is None:
        return SkippedHolding(ticker, name, percent, "it has no weight")
    if not 0 <= percent <= 100:
        return SkippedHolding(ticker, name, percent, "its weight is not between 0 and 100 percent")
    return Holding(ticker, name, percent)
