"""Print the last completed session at each time given: `last_session.py 2025-11-28T09:00+00:00 ...`.

For schedulers whose own Python does not have the trading calendar, as the settings correct it. A time without a zone is
UTC.
"""

from __future__ import annotations

import argparse
import datetime as dt

from spark_app.config.settings import load_settings
from spark_app.market_calendar import correct, last_completed_session


def read_moment(text: str) -> dt.datetime:
    """Parse an ISO 8601 time; without a zone it is UTC."""
    moment = dt.datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("moments", nargs="+", type=read_moment, metavar="MOMENT")
    moments = parser.parse_args().moments
    calendar = load_settings().calendar
    correct(calendar.closures, calendar.extra_sessions)
    for moment in moments:
        print(last_completed_session(moment))
