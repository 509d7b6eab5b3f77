"""One call of a job: its declaration, its arguments, and what is asked by them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spark_app.cli.interruption import Interruption
from spark_app.cli.jobs import Job
from spark_app.cli.options import AS_OF
from spark_app.errors import UsageError
from spark_app.pipeline.summary import Summary
from spark_app.universe import FIRST_SYNTHETIC_SESSION

if TYPE_CHECKING:
    from spark_app.config.settings import Settings
    from spark_app.pipeline.request import Request

logger = logging.getLogger("spark_app")


@dataclass(frozen=True)
class Invocation:
    """One call of a job.

    Attributes:
        words: the arguments as they were given.
        values: what each option sets -> its value, None where it was not given.
        summary: what the job did, for `--json`.
    """

    job: Job
    words: tuple[str, ...]
    values: Mapping[str, Any]
    interruption: Interruption
    summary: Summary = field(default_factory=Summary)

    @property
    def json_file(self) -> str | None:
        return self._text("json")

    @property
    def config_file(self) -> str | None:
        return self._text("config")

    @property
    def settings_overrides(self) -> dict[str, dict[str, object]]:
        """What the command line says about settings: section -> key -> value."""
        overrides: dict[str, dict[str, object]] = {}
        for option in self.job.all_options:
            if option.is_setting and (value := self.values[option.sets]) is not None:
                section, key = option.sets.split(".")
                overrides.setdefault(section, {})[key] = value
        return overrides

    @property
    def is_dry_run(self) -> bool:
        return bool(self.values["dry_run"])

    @property
    def takes_any_origin(self) -> bool:
        """A replay takes the kind of data that the topic has, unless the command line names one."""
        return self.job.takes_any_origin and self.values["source.name"] is None

    @property
    def reads_any_origin(self) -> bool:
        """A job that only reads takes the kind of data that the database has, unless the command line names one."""
        return self.job.reads_any_origin and self.values["source.name"] is None

    def refuse_impossible_dates(self, now: dt.datetime) -> None:
        """Refuse dates that no calendar is needed for, before Spark starts: reading it takes a second.

        Raises: UsageError: a date in the future, or before the benchmark's first session; an empty range.
        """
        from spark_app.market_calendar import FIRST_SESSION

        named, first, today = self.values["as_of"], self.values["first_as_of"], now.date()
        if named is not None and not FIRST_SESSION <= named <= today:
            self._as_of_session(named, now)
        if first is not None and first > (named or today):
            _range(first, named or today)

    def request(self, settings: Settings, now: dt.datetime) -> Request | None:
        """Return what is asked of the run; None where the named day is not a trading day, which is logged.

        Raises: UsageError: the session is not over yet, or the range is empty.
        """
        from spark_app.config.kafka import TopicStart
        from spark_app.pipeline.request import Request, new_run_id, resume_command

        named = self.values["as_of"]
        as_of = self._as_of_session(named, now)
        if as_of is None:
            return None
        if settings.data_origin == "synthetic" and as_of < FIRST_SYNTHETIC_SESSION:
            raise UsageError(f"the synthetic market begins on {FIRST_SYNTHETIC_SESSION}: {as_of} is too early")
        fields = {field.name for field in dataclasses.fields(Request)} - {"as_of", "topic_start"}
        given = {name: value for name, value in self.values.items() if name in fields and value is not None}
        return Request(
            run_id=new_run_id(now),
            as_of=as_of,
            now=now,
            is_as_of_given=named is not None,
            as_of_dates=_range(self.values["first_as_of"], as_of),
            topic_start=TopicStart(**self.values["topic_start"] or {}),
            origin=None if self.values["source.name"] is None else settings.data_origin,
            words=self.words,
            resume_command=resume_command(self.job.name, self.words, as_of if AS_OF in self.job.options else None),
            **given,
        )

    def _as_of_session(self, named: dt.date | None, now: dt.datetime) -> dt.date | None:
        """The session to work for; None where the named day has none, which is logged, unless any day will do."""
        from spark_app import market_calendar

        last = market_calendar.last_completed_session(now)
        if named is None:
            return last
        if named > now.date() or (named > last and market_calendar.is_session(named)):
            flag = next((option.flag for option in self.job.options if option.sets == AS_OF.sets), AS_OF.flag)
            raise UsageError(f"{flag} {named} is not over yet: the last completed session is {last}")
        session = market_calendar.session_on_or_before(named)
        if session != named and not self.job.takes_any_day:
            logger.info(
                "%s: %s is not a trading day (previous session: %s): nothing to do", self.job.name, named, session
            )
            return None
        return session

    def _text(self, name: str) -> str | None:
        value: str | None = self.values[name]
        return value


def _range(first: dt.date | None, last: dt.date) -> tuple[dt.date, ...]:
    """The sessions of a range that ends with `last`; none where no range is asked for."""
    from spark_app import market_calendar

    if first is None:
        return ()
    sessions = tuple(market_calendar.sessions_between(first, last))
    if not sessions:
        raise UsageError(f"--from {first} is after {last}: there is no session between them")
    return sessions
