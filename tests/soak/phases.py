"""The phases of a run, and how a campaign notices that a job is in one: it holds the job there, or stops it at once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.integration.processes import Submitted
from tests.soak.barrier import COMMITTED, COMMITTING, LOADING, MERGING, barrier
from tests.soak.contents import commits_of
from tests.soak.installation import Installation

START, RANDOM = "at start-up", "at a random moment"
MAKING = "while the database is made"
FETCHING = "with a request in flight"
BEFORE, AFTER = "before the append", "after the append"
IN_POSTGRES = {
    "while the loading table fills": LOADING,
    "inside the merge": MERGING,
    "with the commit sent": COMMITTING,
    "right after the commit": COMMITTED,
}
ONCE_A_STAGE = ("with the commit sent", "right after the commit")
FETCHES = r"/chart/|/holdings-daily|/finance/quote\?"
_HELD_SECONDS = 60.0

Reached = Callable[[Submitted], bool]


@dataclass(frozen=True)
class Moment:
    """A phase, and which one of its kind: the `number`-th request, row or commit, or so many seconds.

    `table` is the staging table of an append; `number` is then the Delta version.
    """

    phase: str
    number: float
    table: str | None = None

    @property
    def kind(self) -> str:
        """The phase with its table."""
        return f"{self.phase} to {self.table}" if self.table else self.phase

    def __str__(self) -> str:
        return f"{self.kind}, {self.number:g}"


@contextlib.contextmanager
def watched(moment: Moment, installation: Installation) -> Iterator[Reached]:
    """Yield what says whether a job has reached the moment, and still is there; set up before the job starts."""
    if moment.phase == START:
        yield lambda job: job.program == "java"
    elif moment.phase == MAKING:
        # The first file that initdb writes; then it has half a second's work to do.
        yield lambda job: any((installation.home / "postgres").glob("data.unfinished/PG_VERSION"))
    elif moment.phase == RANDOM:
        began = time.monotonic()
        yield lambda job: time.monotonic() - began >= moment.number
    elif moment.phase == FETCHING:
        held = installation.emulator.fail(FETCHES, after=int(moment.number) - 1, times=1, delay_seconds=_HELD_SECONDS)
        try:
            yield lambda job: held.hits > 0
        finally:
            installation.emulator.faults.clear()
    elif moment.phase in IN_POSTGRES:
        with (
            installation.database() as database,
            barrier(database, IN_POSTGRES[moment.phase], int(moment.number)) as set_up,
        ):
            yield lambda job: set_up.is_reached()
    else:
        yield _append(moment, installation.staging / (moment.table or ""))


def _append(moment: Moment, table: Path) -> Reached:
    number = int(moment.number)
    if moment.phase == AFTER:
        return lambda job: len(commits_of(table)) == number + 1
    return lambda job: len(commits_of(table)) == number and _has_uncommitted_file(table)


def _has_uncommitted_file(table: Path) -> bool:
    files = {path.name for path in table.glob("part-*.parquet")}
    committed = "".join(commit.read_text() for commit in commits_of(table)) if files else ""
    return any(name not in committed for name in files)
