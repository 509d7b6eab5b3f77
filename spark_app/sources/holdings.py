"""Which rows of a holdings answer are shares, and why the others are not."""

from __future__ import annotations

from spark_app.sources.contract import Holding, LeftOutHolding
from spark_app.sources.symbols import is_us_share


def classify_holding(ticker: str, name: str | None, percent: float | None) -> Holding | LeftOutHolding:
    """Return a share with a sound weight as a holding, anything else as left out, with the reason."""
    if not ticker:
        return LeftOutHolding(None, name, percent, "it has no ticker")
    if not is_us_share(ticker):
        return LeftOutHolding(ticker, name, percent, "its ticker is not that of a share listed in the United States")
    if percent is None:
        return LeftOutHolding(ticker, name, percent, "it has no weight")
    if not 0 <= percent <= 100:
        return LeftOutHolding(ticker, name, percent, "its weight is not between 0 and 100 percent")
    return Holding(ticker, name, percent)
