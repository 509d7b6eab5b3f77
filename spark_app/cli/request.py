"""What a run is asked to do: its arguments as the stages take them."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from spark_app.cli.job import Run
from spark_app.cli.parser import resume_command
from spark_app.errors import UsageError

if TYPE_CHECKING:
    from spark_app.pipeline.context import RunRequest, StageContext

logger = logging.getLogger("spark_app")


def context_of(run: Run) -> StageContext:
    """Put together what stages work with."""
    from spark_app.pipeline.execution import start

    context = start(run.spark, run.database, run.settings, request_of(run), run.job.interruption.stopping)
    return replace(context, confirm_lock=run.confirm_writer)


def request_of(run: Run) -> RunRequest:
    """Turn the arguments of the job into the request of the run."""
    from spark_app.config.kafka import TopicStart
    from spark_app.pipeline.context import RunRequest, new_run_id

    arguments = run.job.arguments
    return RunRequest(
        run_id=new_run_id(run.now),
        as_of=run.as_of,
        now=run.now,
        days=getattr(arguments, "days", 21),
        universe=getattr(arguments, "universe", "trending"),
        as_of_dates=_as_of_range(run),
        known_at=known_at_of(run),
        tables=getattr(arguments, "tables", None),
        topic_start=TopicStart(**getattr(arguments, "topic_start", None) or {}),
        origin=run.settings.data_origin if arguments.source else None,
        tickers=getattr(arguments, "tickers", None),
        refresh=getattr(arguments, "refresh", False),
        force=getattr(arguments, "force", False),
        one_at_a_time=getattr(arguments, "no_batch", False),
        resume_command=resume_command(run.job.name, run.job.argv, run.as_of),
    )


def known_at_of(run: Run) -> dt.datetime | None:
    """The moment whose knowledge is asked for; None for the present."""
    moment: dt.datetime | None = getattr(run.job.arguments, "known_at", None)
    return moment


def _as_of_range(run: Run) -> tuple[dt.date, ...]:
    """The sessions of a range that ends with the as-of session; none where no range is asked for."""
    from spark_app import market_calendar

    first = getattr(run.job.arguments, "first", None)
    if first is None:
        return ()
    sessions = tuple(market_calendar.sessions_between(first, run.as_of))
    if not sessions:
        raise UsageError(f"--from {first} lies after {run.as_of}: there is no session between them")
    return sessions


def as_of_session(name: str, asked: dt.date | None, now: dt.datetime) -> dt.date | None:
    """The session to work for; None where the asked day has none, which is said."""
    from spark_app import market_calendar

    last = market_calendar.last_completed_session(now)
    if asked is None:
        return last
    if asked > now.date() or (asked > last and market_calendar.is_session(asked)):
        raise UsageError(f"--as-of {asked} is not over yet: the last completed session is {last}")
    session = market_calendar.session_on_or_before(asked)
    if session != asked:
        logger.info("%s: %s is no session, the one before it is %s: nothing to do", name, asked, session)
        return None
    return session
