"""An installation whose market has trends: SPY stands still, all sectors rise, their first stocks rise faster."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.emulator import Bar, Market, YahooEmulator
from tests.integration.expected import sessions_ending
from tests.integration.fetch_market import LAST_DAY, STOCKS, fetch_market
from tests.integration.world import World, open_world

WINNERS = sorted(stocks[0] for stocks in STOCKS.values())


def trending_market(last: dt.date = LAST_DAY, sessions: int = 45) -> Market:
    """Make the market, with so many sessions up to `last`."""
    days = sessions_ending(last, sessions)
    market = fetch_market(last, sessions)
    risen = {ticker: [_bar(day, 20 + n / 8) for n, day in enumerate(days)] for ticker in WINNERS}
    return Market(
        bars={**market.bars, **risen, "SPY": [_bar(day, 500.0) for day in days]},
        holdings=market.holdings,
        quotes=market.quotes,
    )


@contextmanager
def installation(folder: Path, market: Market) -> Iterator[World]:
    """Open an installation of its own below a folder that the embedded PostgreSQL can reach."""
    home = Path(tempfile.mkdtemp(dir=folder))
    home.chmod(0o755)
    with YahooEmulator(market) as emulator, open_world(home, emulator) as world:
        yield world


def _bar(day: dt.date, close: float) -> Bar:
    return Bar(day, close, close + 1, close - 1, close, close, 1000)
