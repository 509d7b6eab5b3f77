"""Why a portfolio without a position and without an excluded stock is all cash."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal


def why_cash(
    returns: Mapping[str, Decimal | None], trending: Collection[str], funds_with_holdings: Collection[str], basis: int
) -> str:
    """Give the reason as the end of a sentence.

    Args:
        returns: the return of each sector fund over the basis period, None where it is not known.
        trending: the funds that trend over it.
        funds_with_holdings: the funds of which any holdings are served.
        basis: the period that decides, in sessions.
    """
    if all(change is None for change in returns.values()):
        return f"no return of a sector over {basis} sessions is known"
    if not trending:
        return f"no sector trends over {basis} sessions"
    listed = ", ".join(sorted(trending))
    one = len(trending) == 1
    trends = f"{listed} {'trends' if one else 'trend'} over {basis} sessions"
    if not set(trending) & set(funds_with_holdings):
        return f"{trends}, but no holdings of {'this fund' if one else 'these funds'} are known"
    # Each member is a position or excluded, so the run did not see these trends and holdings.
    return f"{trends}, but the portfolio was computed before these were known"
