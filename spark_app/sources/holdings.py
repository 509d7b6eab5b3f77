"""The rows of a fund's holdings: which of them are shares, and how much of the fund's weight could not be read."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable

from spark_app.sources.bodies import FetchError
from spark_app.sources.contract import SKIPPED_HOLDINGS_PERCENT, Holding, Outcome, SkippedHolding
from spark_app.sources.skipped import SkippedPart
from spark_app.sources.symbols import is_us_share, to_yahoo_symbol

_NO_TICKER = ("", "-", "N/A")
_FUTURE = re.compile(r"[A-Z]{1,4}[FGHJKMNQUVXZ]\d{1,2}")
_MONEY_MARKET = re.compile(r"\bMONEY (MARKET|MKT)\b|\bLIQUID(ITY)? RESERVES?\b")
_MONEY_MARKET_TICKER = re.compile(r"[A-Z]{3}XX")
_TREASURY = re.compile(r"\bTREASURY (BILL|NOTE|BOND)S?\b")
_CURRENCY = re.compile(r"\b(DOLLAR|STERLING|EURO|YEN|FRANC|KRONA|KRONE|CASH|CURRENCY)$|\bCASH COLLATERAL\b")
KNOWN_KINDS = ("money-market fund", "future", "treasury", "cash")
"""The reasons of rows that are no shares for certain: their weight may be any."""

LARGEST_SUM_PERCENT = 105.0
"""Files of the issuer sum to 99.4 to 100.8 percent (2021 to 2026)."""

_NAMED = 3
_LONGEST_NAME = 60


def classify_holding(symbol: str, name: str | None, percent: float | None) -> Holding | SkippedHolding:
    """Return a row of a holdings answer as a holding if it is a share with a valid weight (in percent), else why not.

    `symbol` is spelt as the source does, "" for none.
    """
    # Before it is spelt as Yahoo does: N/A would become a share class.
    ticker = "" if symbol.strip().upper() in _NO_TICKER else to_yahoo_symbol(symbol)
    reason = _kind(ticker, (name or "").upper()) or _defect(ticker, percent)
    if reason is None and percent is not None:
        return Holding(ticker, name, percent)
    return SkippedHolding(ticker or None, name, percent, reason or "it has no weight")


def split_holdings(
    rows: Iterable[Holding | SkippedHolding], skipped_holdings_percent: float = SKIPPED_HOLDINGS_PERCENT
) -> tuple[tuple[Holding, ...], tuple[SkippedHolding, ...]]:
    """Split the rows of a fund into its shares and the skipped rows.

    Short positions and weights above 100 are among the skipped rows, with the size of their weight.

    Raises: FetchError: skipped rows of no known kind carry more than `skipped_holdings_percent` of the fund.
    """
    rows = tuple(rows)
    skipped = tuple(row for row in rows if isinstance(row, SkippedHolding))
    unknown = sorted(_of_no_known_kind(skipped), key=_weight, reverse=True)
    percent = sum(map(_weight, unknown))
    if percent > skipped_holdings_percent:
        raise FetchError(
            Outcome.MALFORMED,
            f"skipped rows carry {percent:.2f} % of the fund, and gate.skipped_holdings_percent allows "
            f"{skipped_holdings_percent:g} %: {', '.join(map(_describe, unknown[:_NAMED]))}",
        )
    return tuple(row for row in rows if isinstance(row, Holding)), skipped


def sum_of_weights(rows: Iterable[Holding | SkippedHolding]) -> float | None:
    """Return the sum of the weights of all rows, in percent; short positions count negative, None if no row has any."""
    weights = [row.holding_percent for row in rows if row.holding_percent is not None]
    return math.fsum(filter(math.isfinite, weights)) if weights else None


def describe_wrong_sum(rows: Iterable[Holding | SkippedHolding]) -> str | None:
    """Return the sum of a fund's weights where it cannot be right: negative or above 100 percent; else None.

    The shares alone cannot have more either: their sector fund borrows nothing.
    """
    rows = tuple(rows)
    total = sum_of_weights(rows) or 0.0
    shares = math.fsum(row.holding_percent for row in rows if isinstance(row, Holding))
    if not 0 <= total <= LARGEST_SUM_PERCENT:
        return f"{total:.2f} %"
    return f"{shares:.2f} % without cash and the like" if shares > LARGEST_SUM_PERCENT else None


def find_skipped_holdings(skipped: Iterable[SkippedHolding]) -> dict[str, list[SkippedPart]]:
    """List the skipped rows of no known kind: reason -> rows."""
    by_reason = defaultdict(list)
    for row in _of_no_known_kind(skipped):
        by_reason[row.reason].append(SkippedPart(_name(row), _describe(row)))
    return dict(by_reason)


def _kind(ticker: str, name: str) -> str | None:
    if _MONEY_MARKET.search(name) or _MONEY_MARKET_TICKER.fullmatch(ticker):
        return "money-market fund"
    if _FUTURE.fullmatch(ticker):
        return "future"
    if _TREASURY.search(name):
        return "treasury"
    if _CURRENCY.search(name):
        return "cash"
    return None


def _defect(ticker: str, percent: float | None) -> str | None:
    if not ticker:
        return "it has no ticker"
    if not is_us_share(ticker):
        return "its ticker is not that of a share listed in the United States"
    if percent is None:
        return "it has no weight"
    if not 0 <= percent <= 100:
        return "its weight is not between 0 and 100 percent"
    return None


def _of_no_known_kind(skipped: Iterable[SkippedHolding]) -> list[SkippedHolding]:
    return [row for row in skipped if row.reason not in KNOWN_KINDS]


def _weight(row: SkippedHolding) -> float:
    percent = row.holding_percent
    return 0.0 if percent is None or not math.isfinite(percent) else abs(percent)


def _name(row: SkippedHolding) -> str:
    return (row.holding_ticker or row.holding_name or "a row without a name")[:_LONGEST_NAME]


def _describe(row: SkippedHolding) -> str:
    label = " ".join(filter(None, (row.holding_ticker, row.holding_name)))[:_LONGEST_NAME]
    weight = "no weight" if row.holding_percent is None else f"{row.holding_percent:g} %"
    return f"{label or 'a row without a name'} ({weight})"
