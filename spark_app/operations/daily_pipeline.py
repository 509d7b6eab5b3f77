"""The daily run: the stages of the last session, and with `--catch-up` those of the sessions that a schedule missed.

Every chart is fetched up to the last completed session, so one fetch of the oldest session answers all later ones from
the cache: catching up is the five stages session by session, oldest first, and asks for each ticker once.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace

from spark_app import market_calendar
from spark_app.config.installation import LAUNCHER
from spark_app.errors import DataIncompleteError, UsageError, first_exit_code
from spark_app.pipeline.request import new_run_id
from spark_app.pipeline.run import Run
from spark_app.pipeline.sequence import pending_stages, run_pending, run_stages
from spark_app.stages import STAGES
from spark_app.storage.postgres.database import translated_errors
from spark_app.storage.postgres.verify import computed_dates

logger = logging.getLogger(__name__)

_JOB = "daily_pipeline"
# Has each date with a portfolio, also one without a position, and those that `republish` computed.
_PORTFOLIOS = "analytics_portfolio_turnover"


def run_daily(run: Run) -> int:
    """Run the stages of the as-of session that are not done, before them those of missed sessions where asked for.

    Raises: UsageError: more sessions were missed than are caught up.
    """
    missed, is_asked = _missed(run), run.request.catch_up
    told = f"missed sessions: {_described(missed)}"
    is_long = len(missed) > run.settings.schedule.catch_up_sessions
    if is_asked and is_long:
        raise UsageError(f"--catch-up: {told}: {_remedy(run, missed)}")
    run.summary.findings["missed_sessions"] = [{"as_of_date": day} for day in missed]
    if is_asked and missed:
        logger.info("%s: catching up, oldest first", told)
        return _catch_up(run, missed)
    exit_code = run_pending(run, _JOB, STAGES)
    if missed:
        logger.info("%s: %s", told, _remedy(run, missed) if is_long else "run again with --catch-up")
    return exit_code


def missed_sessions(computed: Collection[dt.date], as_of: dt.date, limit: int) -> list[dt.date]:
    """List the sessions before `as_of` that a schedule missed, in order.

    Args:
        computed: the as-of dates with a portfolio; what was before the first of them is not missed.
        limit: of gaps further back than so many sessions only one that reaches to `as_of` counts: `verify_data` names
            the others, which are too old to be caught up.
    """
    before = sorted(day for day in computed if day < as_of)
    if not before:
        return []
    window = market_calendar.sessions_ending(as_of, limit + 1)
    first = next((day for day in before if day >= window[0]), before[-1])
    return [day for day in market_calendar.sessions_between(first, as_of)[:-1] if day not in computed]


def _missed(run: Run) -> list[dt.date]:
    with translated_errors("looking for missed sessions"), run.database.connect_with_retries() as connection:
        computed = computed_dates(connection, _PORTFOLIOS)
    return missed_sessions(frozenset(computed), run.as_of, run.settings.schedule.catch_up_sessions)


def _catch_up(run: Run, missed: Sequence[dt.date]) -> int:
    """Run the stages of the missed sessions and of the as-of session; a session that lacks data stops no later one."""
    exit_codes: list[int] = []
    for place, session in enumerate(missed):
        earlier = (run if place == 0 else _from_own_fetches(run)).asking(
            as_of=session, run_id=new_run_id(run.request.now)
        )
        exit_codes.append(run_stages(earlier, pending_stages(earlier, STAGES)))
        if exit_codes[-1] not in (0, DataIncompleteError.exit_code):
            return exit_codes[-1]
    exit_codes.append(run_pending(_from_own_fetches(run), _JOB, STAGES))
    return first_exit_code(exit_codes)


def _from_own_fetches(run: Run) -> Run:
    """The same run; with `--refresh` only what it fetched itself is cached, so that it fetches nothing twice."""
    if not run.request.refresh:
        return run
    fetch = run.settings.fetch.model_copy(update={"cache_hours": 0})
    return replace(run.asking(refresh=False), settings=run.settings.model_copy(update={"fetch": fetch}))


def _remedy(run: Run, missed: Sequence[dt.date]) -> str:
    """Say how so many sessions are computed: prices of all of them by one run, then their results from staging."""
    first = market_calendar.sessions_ending(missed[0], run.request.days)[0]
    days = len(market_calendar.sessions_between(first, run.as_of))
    return (
        f"more than schedule.catch_up_sessions ({run.settings.schedule.catch_up_sessions}):"
        f" run {LAUNCHER} {_JOB} --days {days} --universe all,"
        f" then {LAUNCHER} republish --from {missed[0]} --as-of {missed[-1]}"
    )


def _described(sessions: Sequence[dt.date]) -> str:
    dates = sorted({str(session) for session in (*sessions[:1], *sessions[-1:])})
    return f"{len(sessions)} ({' to '.join(dates)})"
