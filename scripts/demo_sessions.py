"""Print the last session of the demo, and of the 250 before it the first one with results: `demo_sessions.py [DATE]`.

Where the date is no session, it says on stderr which one is taken.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys

from spark_app import market_calendar
from spark_app.cli.values import date
from spark_app.universe import FIRST_SYNTHETIC_SESSION

_SESSIONS = 251
# With the closes of 20 sessions before it.
_FIRST_WITH_RESULTS = market_calendar.sessions_between(FIRST_SYNTHETIC_SESSION, dt.date(2015, 3, 2))[20]


def sessions_of_demo(named: dt.date | None, now: dt.datetime) -> tuple[dt.date, dt.date]:
    """The last session, and the first one with results; without a name the last is the last completed one.

    Raises: ValueError: the synthetic market has no results yet on the named day.
    """
    last = market_calendar.last_completed_session(now)
    if named is not None:
        if named < _FIRST_WITH_RESULTS:
            raise ValueError(
                f"{named} is too early: the synthetic market begins on {FIRST_SYNTHETIC_SESSION}, "
                f"use {_FIRST_WITH_RESULTS} or a later date"
            )
        last = min(market_calendar.session_on_or_before(named), last)
    return last, max(market_calendar.sessions_ending(last, _SESSIONS)[0], _FIRST_WITH_RESULTS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("as_of", nargs="?", type=date, metavar="AS_OF")
    named = parser.parse_args().as_of
    try:
        last, first = sessions_of_demo(named, dt.datetime.now(dt.UTC))
    except ValueError as error:
        parser.error(str(error))
    if named not in (None, last):
        print(f"demo: {named} is not a completed session: {last} is taken", file=sys.stderr)
    print(last, first)
