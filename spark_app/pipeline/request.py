"""What is asked of a run: which session, how much, and under which name."""

from __future__ import annotations

import datetime as dt
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from spark_app.config.installation import LAUNCHER
from spark_app.config.kafka import TopicStart


def new_run_id(now: dt.datetime) -> str:
    """Make the identifier of a run: its start (UTC) and a random part."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Request:
    """What is asked of a run; a field that a job has no option for keeps its default.

    Attributes:
        run_id: the identifier of the run.
        as_of: the session to work for.
        now: the start of the run (UTC).
        is_as_of_given: the user named the session; a scheduled run takes the last completed one.
        as_of_dates: all sessions to compute, in order, where that is more than `as_of`, the last of them.
        days: sessions of prices to collect and serve.
        universe: the stocks to collect, `trending` or `all`.
        known_at: ignore what was fetched later; implies `dry_run`.
        tables: the served tables to rebuild, None for all.
        tickers: the funds to fetch, None for all of the job.
        refresh: fetch again what is cached.
        force: run again what is done, and although the source is blocked.
        catch_up: also run the sessions that a schedule missed.
        one_at_a_time: one request in flight, not several.
        dry_run: show what would be done, or what would differ from what is served; publish nothing.
        start_from, skip_existing, delay_minutes: the plan of the staggered backfill.
        forget: tickers whose cached fetches are dropped; forget_all: those of every ticker.
        out, png, opens: where the page is written, where its picture, and whether it is opened in a browser.
        no_trend_filter, grid, probe, csv, universe_file: of a backtest: hold funds whether they trend or not; run other
            rules beside it; compute signals without their future; the folder of its CSV files; the file of its
            universe (None: that of the installation).
        topic_start, origin: where a replay begins, and which kind of data it takes (None: that of the database).
        words: the arguments as the user gave them.
        resume_command: the command that resumes the run.
    """

    run_id: str
    as_of: dt.date
    now: dt.datetime
    is_as_of_given: bool = False
    as_of_dates: tuple[dt.date, ...] = ()
    days: int = 21
    universe: str = "trending"
    known_at: dt.datetime | None = None
    tables: tuple[str, ...] | None = None
    tickers: tuple[str, ...] | None = None
    refresh: bool = False
    force: bool = False
    catch_up: bool = False
    one_at_a_time: bool = False
    dry_run: bool = False
    start_from: str | None = None
    skip_existing: bool = False
    delay_minutes: float = 5.0
    forget: str | None = None
    forget_all: bool = False
    out: str | None = None
    png: str | None = None
    opens: bool = False
    no_trend_filter: bool = False
    grid: bool = False
    probe: bool = False
    csv: str | None = None
    universe_file: str | None = None
    topic_start: TopicStart = field(default_factory=TopicStart)
    origin: str | None = None
    words: tuple[str, ...] = ()
    resume_command: str = ""

    @property
    def is_what_if(self) -> bool:
        """Whether stages only show what they would change; what was known at a time never replaces what is served."""
        return self.dry_run or self.known_at is not None


def resume_command(job: str, words: Sequence[str], as_of: dt.date | None, **options: str) -> str:
    """Return the command that resumes a run: its arguments, its date where the job takes one, and `options`.

    What a resumed run must not do again is dropped: `--refresh` would fetch everything anew.
    """
    kept: list[str] = []
    replaced = {"--as-of", "--json", *(_flag(key) for key in options)}
    rest = iter(words)
    for word in rest:
        flag, equals, _ = word.partition("=")
        if flag in replaced:
            if not equals:
                next(rest, None)
        elif word not in ("--refresh", "--force"):
            kept.append(word)
    given = [word for key, value in options.items() for word in (_flag(key), value)]
    date = [] if as_of is None else ["--as-of", str(as_of)]
    return shlex.join([LAUNCHER, job, *kept, *date, *given])


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-")
