"""Ticker symbols: their spelling, and which may be requested."""

from __future__ import annotations

import re

from spark_app.errors import UsageError
from spark_app.universe import TICKER

_US_SHARE = re.compile(r"[A-Z]{1,5}(-[A-Z]{1,2})?")
# After a dot Yahoo names the place of a foreign listing: VOD.L and 7203.T are London and Tokyo.
_SHARE_CLASS = re.compile(r"([A-Z]{1,5})[./ ]([A-D])")
# Bloomberg's codes of the exchanges in the United States, as in "LIN UW" and "AAPL UW EQUITY"; others are foreign.
_US_EXCHANGE = re.compile(r" U[SNWQRAPVF]( EQUITY)?$")


def to_yahoo_symbol(symbol: str) -> str:
    """Spell a share as Yahoo does: BRK.B, BRK/B, brk b and "BRK/B UN Equity" become BRK-B, "LIN UW" becomes LIN.

    What is no share of the United States stays as it is, in upper case.
    """
    text = _US_EXCHANGE.sub("", " ".join(symbol.upper().split()))
    share_class = _SHARE_CLASS.fullmatch(text)
    return "-".join(share_class.groups()) if share_class else text


def is_ticker(symbol: str) -> bool:
    """Whether `symbol` is well formed and may be requested."""
    return TICKER.fullmatch(symbol) is not None


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
