"""The funds of the pipeline, their GICS sectors, and the companies with more than one share class.

Keyed on tickers: the sector SPDRs were renamed on 2025-12-01, tickers stay.
"""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

BENCHMARK = "SPY"
BENCHMARKS = ("SPY", "QQQ")

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
"""The benchmark and the eleven sector funds, in the order in which they are asked for."""

PRICED_FUNDS = tuple(dict.fromkeys((*FUNDS, *BENCHMARKS)))
"""All funds whose prices are collected day by day."""

STAGGERED_FUNDS = ("XLK", "XLV", "XLF", "XLY", "XLC", "XLI", "XLP", "XLE", "XLU", "XLRE", "XLB")
"""The sector funds in the order of the staggered backfill."""


class ShareClass(NamedTuple):
    """One listed share class of an issuer; valid on `valid_from <= date < valid_to`."""

    ticker: str
    issuer: str
    valid_from: dt.date
    valid_to: dt.date


_ALWAYS = dt.date(1900, 1, 1)
_OPEN = dt.date(9999, 12, 31)


def _classes(issuer: str, *tickers: str, valid_from: dt.date = _ALWAYS, valid_to: dt.date = _OPEN) -> list[ShareClass]:
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
"""Share classes of one issuer: Yahoo gives each of them the whole company's market cap."""
