"""What a stage gives back, and how it ended."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from spark_app.errors import SparkAppError
from spark_app.pipeline.fetch_summary import FetchSummary
from spark_app.storage.postgres.provenance import UNKNOWN, Provenance
from spark_app.storage.postgres.publishing.publication import Publication
from spark_app.storage.postgres.run_log import ConsumerError


@dataclass(frozen=True)
class StageResult:
    """What a stage produced.

    Attributes:
        message: one sentence for the summary line and the run log.
        publications: rows to serve.
        fetched: what asking the source brought.
        errors: what was wrong, for `logs_consumer_error`.
        rows_rejected: rows that broke a rule.
        delta_versions: the version of each staging table that has the rows of this run.
        provenance: what it read and fetched, for the run log.
        failure: how the run ends after everything here was stored, None where it ends well.
        is_staged: whether all fetches of the run reached staging; otherwise a later run stages them.
        replayed_origin: the kind of data, where the rows came from the topic; they are not sent there again.
    """

    message: str
    publications: tuple[Publication, ...] = ()
    fetched: FetchSummary = field(default_factory=FetchSummary)
    errors: Iterable[ConsumerError] = ()
    rows_rejected: int = 0
    delta_versions: Mapping[str, int] = field(default_factory=dict)
    provenance: Provenance = UNKNOWN
    failure: SparkAppError | None = None
    is_staged: bool = True
    replayed_origin: str | None = None


@dataclass(frozen=True)
class StageReport:
    """How one stage of a run ended, for the summary line and `--json`.

    `status` is that of the run log, or `what_if` where nothing was published: the rows are then those that publishing
    would change. `resume_at` (UTC) is set after a rate limit; `messages_owed` are those pending, None where
    Postgres did not answer.
    """

    run_id: str
    stage: str
    as_of_date: dt.date
    status: str
    exit_code: int
    message: str
    seconds: float
    requests: int = 0
    rows_inserted: int = 0
    rows_updated: int = 0
    rows_unchanged: int = 0
    rows_removed: int = 0
    rows_rejected: int = 0
    resume_at: dt.datetime | None = None
    messages_sent: int = 0
    messages_owed: int | None = 0
