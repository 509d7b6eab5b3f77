"""The funds of the pipeline, their GICS sectors, share classes, and splits that rules misread.

Tickers are the keys: State Street renamed the sector funds on 2025-12-01 and kept the tickers. Section `corrections` of
the settings corrects share classes and first sessions, and says which tickers were renamed.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

TICKER = re.compile(r"[A-Z][A-Z0-9]{0,9}(-[A-Z0-9]{1,2})?")
"""A ticker in Yahoo's spelling. An allow-list: a ticker becomes part of a URL, and for twelve characters without a
hyphen, which may be an ISIN, yfinance sends a search request first."""

PERIODS = (5, 10, 20)
"""The periods of the returns, in trading sessions; those of the columns of the served tables."""

BENCHMARK = "SPY"
BENCHMARKS = ("SPY", "QQQ")
CURRENCY = "USD"
"""The currency of every price and market cap."""

SECTOR_NAMES = {
    "XLB": "Materials",
    "XLC": "Communication Services",
    "XLE": "Energy",
    "XLF": "Financials",
    "XLI": "Industrials",
    "XLK": "Information Technology",
    "XLP": "Consumer Staples",
    "XLRE": "Real Estate",
    "XLU": "Utilities",
    "XLV": "Health Care",
    "XLY": "Consumer Discretionary",
}
"""GICS sector of each sector fund."""

FUNDS = ("SPY", "XLK", "XLV", "XLF", "XLE", "XLY", "XLP", "XLI", "XLB", "XLU", "XLRE", "XLC")
"""The benchmark and the eleven sector funds, in the order of requests."""

PRICED_FUNDS = tuple(dict.fromkeys((*FUNDS, *BENCHMARKS)))
"""All funds whose daily prices are collected."""

FIRST_SESSIONS = {
    "SPY": dt.date(1993, 1, 29),
    **dict.fromkeys(("XLB", "XLE", "XLF", "XLI", "XLK", "XLP", "XLU", "XLV", "XLY"), dt.date(1998, 12, 22)),
    "QQQ": dt.date(1999, 3, 10),
    "XLRE": dt.date(2015, 10, 8),
    "XLC": dt.date(2018, 6, 19),
}
"""The first session of each priced fund; from then on it has a bar on every session."""

FIRST_SYNTHETIC_SESSION = dt.date(2015, 1, 2)
"""The first session of the synthetic market."""

STAGGERED_FUNDS = ("XLK", "XLV", "XLF", "XLY", "XLC", "XLI", "XLP", "XLE", "XLU", "XLRE", "XLB")
"""The sector funds in the order of the staggered backfill."""


@dataclass(frozen=True)
class Universe:
    """The funds that a rotation chooses from, and what they are compared with.

    Attributes:
        benchmark: the ticker that trends are measured against.
        sectors: sector of each fund, in the order of the funds.
        first_sessions: the first session of a fund, where it is known; before it the fund is unavailable.
        currency: of all prices.
        sessions: the calendar whose sessions count, XNYS, or `data`: the dates on which the benchmark has a price.
        periods_a_year: sessions in a year, by which statistics are annualised.
    """

    benchmark: str
    sectors: Mapping[str, str]
    first_sessions: Mapping[str, dt.date]
    currency: str = CURRENCY
    sessions: str = "XNYS"
    periods_a_year: int = 252

    @property
    def tickers(self) -> tuple[str, ...]:
        """The benchmark and the funds."""
        return (self.benchmark, *self.sectors)


DEFAULT_UNIVERSE = Universe(
    BENCHMARK,
    {fund: SECTOR_NAMES[fund] for fund in FUNDS if fund != BENCHMARK},
    {fund: FIRST_SESSIONS[fund] for fund in FUNDS},
)
"""The funds of the daily pipeline, as `conf/universe.toml` has them."""


class ShareClass(NamedTuple):
    """One listed share class of an issuer; valid on `valid_from <= date < valid_to`."""

    ticker: str
    issuer: str
    valid_from: dt.date
    valid_to: dt.date


ALWAYS = dt.date(1900, 1, 1)
OPEN = dt.date(9999, 12, 31)


def _classes(issuer: str, *tickers: str, valid_from: dt.date = ALWAYS, valid_to: dt.date = OPEN) -> list[ShareClass]:
    return [ShareClass(ticker, issuer, valid_from, valid_to) for ticker in tickers]


SHARE_CLASSES: tuple[ShareClass, ...] = (
    *_classes("Alphabet", "GOOG", "GOOGL", valid_from=dt.date(2014, 4, 3)),
    *_classes("Fox Corporation", "FOX", "FOXA", valid_from=dt.date(2019, 3, 19)),
    *_classes("Twenty-First Century Fox", "FOX", "FOXA", valid_from=dt.date(2013, 7, 1), valid_to=dt.date(2019, 3, 19)),
    *_classes("News Corp", "NWS", "NWSA", valid_from=dt.date(2013, 7, 1)),
    *_classes("Berkshire Hathaway", "BRK-A", "BRK-B"),
    *_classes("Brown-Forman", "BF-A", "BF-B"),
    *_classes("Under Armour", "UA", "UAA", valid_from=dt.date(2016, 12, 7)),
    *_classes("Discovery", "DISCA", "DISCK", valid_from=dt.date(2008, 9, 18), valid_to=dt.date(2022, 4, 11)),
    *_classes("Comcast", "CMCSA", "CMCSK", valid_to=dt.date(2015, 12, 14)),
    *_classes("Lennar", "LEN", "LEN-B"),
    *_classes("HEICO", "HEI", "HEI-A"),
    *_classes("Hubbell", "HUB-A", "HUB-B", valid_to=dt.date(2015, 12, 24)),
    *_classes("Constellation Brands", "STZ", "STZ-B", valid_to=dt.date(2022, 11, 10)),
    *_classes("Molson Coors", "TAP", "TAP-A"),
    *_classes("McCormick", "MKC", "MKC-V"),
    *_classes("Zillow", "Z", "ZG", valid_from=dt.date(2015, 8, 14)),
    *_classes("Liberty Broadband", "LBRDA", "LBRDK", valid_from=dt.date(2014, 11, 4)),
)
"""Share classes of one issuer: Yahoo's market cap of each class is that of the whole company."""


class Rename(NamedTuple):
    """A stock whose ticker was `old` before `date`, and whose whole history the source has as `new`."""

    old: str
    new: str
    date: dt.date


class TickerSpan(NamedTuple):
    """A ticker of a stock; valid on `valid_from <= date < valid_to`."""

    ticker: str
    valid_from: dt.date
    valid_to: dt.date


def newest_ticker(rename: Rename, renames: Sequence[Rename]) -> str:
    """Follow the later renames of what `rename` made: SYMC became NLOK, and NLOK became GEN."""
    later = [other for other in renames if other.old == rename.new and other.date > rename.date]
    return newest_ticker(min(later, key=lambda other: other.date), renames) if later else rename.new


def tickers_of(ticker: str, renames: Sequence[Rename]) -> list[TickerSpan]:
    """List the tickers by which facts of a date name the stock that is known as `ticker` today."""
    found = []
    for name in sorted({ticker, *(rename.old for rename in renames)}):
        valid_from = ALWAYS
        for rename in sorted((rename for rename in renames if rename.old == name), key=lambda rename: rename.date):
            if newest_ticker(rename, renames) == ticker:
                found.append(TickerSpan(name, valid_from, rename.date))
            valid_from = rename.date
        if name == ticker:
            found.append(TickerSpan(name, valid_from, OPEN))
    return found


SAME_SPLIT_SESSIONS = 10
"""The same ratio listed again within so many sessions is the same split: announced, moved and executed dates."""


class SplitOverride(NamedTuple):
    """What the listed splits of a ticker do to the number of shares; valid on `valid_from <= date < valid_to`.

    `share_ratio` is new shares per old share, None for the listed ratio.
    """

    ticker: str
    valid_from: dt.date
    valid_to: dt.date
    share_ratio: float | None = None


SPLIT_OVERRIDES = (
    SplitOverride("WTW", dt.date(2016, 1, 4), dt.date(2016, 1, 9)),  # 1-for-2.6490 at the merger with Towers Watson
    SplitOverride("TR", ALWAYS, OPEN),  # Tootsie Roll: a stock dividend of 3 % each March
    # One ratio for a consolidation 1-for-3 and a spin-off on the same day.
    SplitOverride("HLT", dt.date(2017, 1, 4), dt.date(2017, 1, 9), 1 / 3),
    SplitOverride("DD", dt.date(2019, 6, 3), dt.date(2019, 6, 8), 1 / 3),
)
"""Listed splits whose smaller term is above 20, and which changed the number of shares all the same."""
