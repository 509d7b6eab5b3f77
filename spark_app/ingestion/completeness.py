"""The bars that the exchange calendar promises and staging lacks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

_LISTED = 10


@dataclass(frozen=True)
class Completeness:
    """How many bars some tickers should have, and which of them are missing, by ticker.

    After its last bar nothing is expected of a ticker in `ended`, whose chart ended, with the date of that bar; nor of
    one in `absent`, of which the source has no data any more, with that date or None.
    """

    expected: Mapping[str, int]
    missing: Mapping[str, Sequence[dt.date]]
    ended: Mapping[str, dt.date] = field(default_factory=dict)
    absent: Mapping[str, dt.date | None] = field(default_factory=dict)

    def coverage(self, tickers: Collection[str]) -> float:
        """Return the fraction of the expected bars of `tickers` that are there, 1 where none is expected."""
        expected = sum(self.expected.get(ticker, 0) for ticker in tickers)
        missing = sum(len(self.missing.get(ticker, ())) for ticker in tickers)
        return 1 - missing / expected if expected else 1.0

    def describe(self, tickers: Collection[str] | None = None) -> str:
        """List what is missing, the tickers that miss most first."""
        chosen = [t for t in self.missing if tickers is None or t in tickers]
        chosen.sort(key=lambda ticker: (-len(self.missing[ticker]), ticker))
        return describe_tickers([f"{ticker} {describe_dates(self.missing[ticker])}" for ticker in chosen])


def judge_completeness(
    sessions: Sequence[dt.date],
    present: Mapping[str, Collection[dt.date]],
    expected_from: Mapping[str, dt.date],
    *,
    ended: Mapping[str, dt.date] | None = None,
    absent: Mapping[str, dt.date | None] | None = None,
) -> Completeness:
    """Compare the bars in staging with the sessions that should have one.

    Args:
        present: ticker -> sessions that it has a bar of.
        expected_from: ticker -> the date from which on it should have bars.
        ended, absent: as in `Completeness`.
    """
    ended, absent = ended or {}, absent or {}
    until = {t: last or dt.date.min for t, last in {**ended, **absent}.items()}
    due = {
        ticker: [session for session in sessions if first <= session <= until.get(ticker, dt.date.max)]
        for ticker, first in expected_from.items()
    }
    missing = {t: [session for session in dates if session not in present.get(t, ())] for t, dates in due.items()}
    return Completeness(
        expected={ticker: len(dates) for ticker, dates in due.items()},
        missing={ticker: dates for ticker, dates in missing.items() if dates},
        ended=ended,
        absent=absent,
    )


def describe_tickers(described: Sequence[str]) -> str:
    """List what is said of each ticker, up to ten of them."""
    more = [f"and {len(described) - _LISTED} tickers more"] if len(described) > _LISTED else []
    return ", ".join([*described[:_LISTED], *more])


def describe_dates(dates: Sequence[dt.date]) -> str:
    """Write up to three dates in full, more of them as a number and a range."""
    if len(dates) <= 3:
        return " ".join(str(date) for date in dates)
    return f"{len(dates)} sessions from {dates[0]} to {dates[-1]}"
