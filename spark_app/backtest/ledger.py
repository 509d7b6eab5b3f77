"""The look-ahead ledger: what was held on facts that nobody knew yet, and what could not be judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spark_app.backtest.engine import Path, Prices
from spark_app.backtest.signals.compute import Signals
from spark_app.backtest.signals.stocks import HOLDINGS, MARKET_CAPS

ANY_FACT = "any_fact"
UNPRICED, WITHOUT_CAP = "members_without_prices", "members_without_market_cap"
EMPTY_SECTORS = "sectors_without_holdings"
LATER_FACTS = {HOLDINGS: "holdings dated later", MARKET_CAPS: "market caps dated later", ANY_FACT: "either"}
MISSING_FACTS = {
    UNPRICED: "members without prices",
    WITHOUT_CAP: "members without a market cap",
    EMPTY_SECTORS: "chosen sectors without holdings",
}


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    Attributes:
        entry: a key of `LATER_FACTS` (what positions stand on) or of `MISSING_FACTS` (what was passed over).
        counted: position-days of the first, members or sectors on the dates of signals of the second.
        total: all of them, so that counted / total is the share.
        weight_frac: the share of the weight in positions, over all sessions; NaN of what was passed over.
        tickers: how many different ones, None where that is not counted.
    """

    entry: str
    counted: int
    total: int
    weight_frac: float = float("nan")
    tickers: int | None = None

    @property
    def share(self) -> float:
        """The counted part of the total, 0 where there is nothing to count."""
        return self.counted / self.total if self.total else 0.0


def work_out_ledger(prices: Prices, signals: Signals, path: Path) -> list[Entry]:
    """Count a backtest of stocks; nothing for one of funds, whose prices are all that it knows.

    Args: path: of the strategy. A position-day is a position at the close of a session.
    """
    if signals.members is None:
        return []
    members = signals.members
    held = path.weights > 0
    entries = [_later(prices, signals, path, held, kind) for kind in LATER_FACTS]
    unpriced = Entry(UNPRICED, members.unpriced, members.members, tickers=members.unpriced_tickers)
    return [
        *entries,
        unpriced,
        Entry(WITHOUT_CAP, members.without_cap, members.members),
        Entry(EMPTY_SECTORS, members.empty_sectors, members.sectors),
    ]


def _later(prices: Prices, signals: Signals, path: Path, held: npt.NDArray[np.bool_], kind: str) -> Entry:
    is_later = np.zeros_like(held)
    place = {ticker: number for number, ticker in enumerate(prices.tickers)}
    ends = [trade.traded for trade in path.trades[1:]] + [len(path.values)]
    found: set[str] = set()
    for trade, end in zip(path.trades, ends, strict=True):
        marked = _marked(signals.later_facts.get(prices.sessions[trade.decided], {}), kind)
        is_later[trade.traded : end, [place[ticker] for ticker in marked]] = True
        found |= marked
    is_later &= held
    weight = float(path.weights.sum())
    share = float(path.weights[is_later].sum()) / weight if weight else 0.0
    return Entry(kind, int(is_later.sum()), int(held.sum()), share, len(found))


def _marked(later: Mapping[str, Sequence[str]], kind: str) -> set[str]:
    return {ticker for ticker, kinds in later.items() if kind == ANY_FACT or kind in kinds}
