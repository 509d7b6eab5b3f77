"""Print the last session of the demo and the first one, 250 sessions before: `demo_sessions.py [YYYY-MM-DD]`."""

from __future__ import annotations

import argparse
import datetime as dt

from spark_app import market_calendar
from spark_app.cli.values import date

_SESSIONS = 251


def last_session(named: dt.date | None, now: dt.datetime) -> dt.date:
    """The named session, or the session before the named day; without a name the last completed one."""
    last = market_calendar.last_completed_session(now)
    return last if named is None else min(market_calendar.session_on_or_before(named), last)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("as_of", nargs="?", type=date, metavar="DATE")
    last = last_session(parser.parse_args().as_of, dt.datetime.now(dt.UTC))
    print(last, market_calendar.sessions_ending(last, _SESSIONS)[0])
