"""Whether an answer without data is believed: for a recent session if another day confirms it, and never one of many.

Every ticker that a run asks for is known to exist: a fund, or a stock in the holdings of one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping

from spark_app.universe import FIRST_SESSIONS

CONFIRMING_DAYS = 2
"""The days (New York) that must say so before it is believed that a stock of a recent session has no data."""

_OLD_DAYS = 60
"""Of stocks in holdings of so long ago some have lost their listing or have another ticker: one answer is enough."""
_FEW = 2
# Of 500 stocks about 25 a year lose their listing; a faulty source loses most of them at once.
_MANY = 0.25


def confirming_days(as_of: dt.date, now: dt.datetime) -> int:
    """Return the number of days that must say that a ticker has no data, for the stocks of an as-of session."""
    return 1 if (now.date() - as_of).days > _OLD_DAYS else CONFIRMING_DAYS


def confirmed_absences(
    absent_on: Mapping[str, Collection[dt.date]], asked: int, days_needed: int = CONFIRMING_DAYS
) -> frozenset[str]:
    """Return the tickers of which enough days say that they have no data; none of them if these are too many.

    Args:
        absent_on: ticker without data -> the days (New York) on which the source said so, since it last had data.
        asked: the number of tickers that were asked for.
        days_needed: as of `confirming_days`.
    """
    if are_too_many(len(absent_on), asked):
        return frozenset()
    return frozenset(
        ticker for ticker, days in absent_on.items() if ticker not in FIRST_SESSIONS and len(set(days)) >= days_needed
    )


def are_too_many(number: int, asked: int) -> bool:
    """Whether so many tickers of `asked` cannot have lost their listing: the source is at fault."""
    return number > max(_FEW, _MANY * asked)


def ended_charts(
    last_bars: Mapping[str, dt.date], fund_bars: Mapping[str, Collection[dt.date]], recent: Collection[dt.date]
) -> dict[str, dt.date]:
    """Return the stocks whose chart ended before the `recent` sessions while those of most funds go on.

    Args:
        last_bars: ticker -> the date of its last bar, of the tickers whose chart was answered.
        fund_bars: fund -> sessions that it has a bar of.
    """
    ended = {t: last for t, last in last_bars.items() if t not in FIRST_SESSIONS and last < min(recent)}
    go_on = all(2 * sum(day in days for days in fund_bars.values()) > len(fund_bars) for day in recent)
    return ended if go_on and not are_too_many(len(ended), len(last_bars)) else {}
