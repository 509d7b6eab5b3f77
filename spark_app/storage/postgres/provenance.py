"""Where the rows of a run come from: what it read, what it fetched, what was restated.

Written in the transaction that publishes the rows, so that each can be looked up without Spark.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from spark_app.storage.postgres.run_log import RunKey, storable


@dataclass(frozen=True)
class LoggedFetch:
    """The answer for one requested ticker; a row of `logs_fetch`.

    Attributes:
        fetched_at: as in the rows that it brought (timezone-aware).
        run_id: the run that fetched it.
        rows_fetched: bars, holdings or quotes in the answer.
        first_date, last_date: of its bars, of its snapshot, or of its quote.
    """

    ticker: str
    kind: str
    fetched_at: dt.datetime
    run_id: str
    source: str | None
    outcome: str
    message: str | None = None
    requests: int = 0
    rows_fetched: int = 0
    first_date: dt.date | None = None
    last_date: dt.date | None = None


@dataclass(frozen=True)
class Restatement:
    """The staged bars of one ticker that the fetch of one run changed; a row of `logs_price_restatement`.

    `kind`, `ratio`, `rows_restated` and the dates as `transforms.restatements` gives them; `noticed_at` is
    timezone-aware.
    """

    ticker: str
    run_id: str
    kind: str
    ratio: float
    rows_restated: int
    first_trade_date: dt.date
    last_trade_date: dt.date
    noticed_at: dt.datetime


@dataclass(frozen=True)
class Provenance:
    """What a stage read and fetched; None where it does not know such a thing.

    Attributes:
        inputs: `staging_versions` by table, `holdings_dates` by fund, the first and last of `quote_dates`, the
            `portfolio_dates` of `republish`; as JSON.
        look_ahead_memberships: stocks whose membership is of a snapshot dated after the as-of date.
        look_ahead_quotes: positions whose market cap is of a quote dated after the as-of date.
        outliers: bars that were staged although their change of price is implausible.
        fetches: what this run fetched.
        restatements: None where the stage looks for none.
        earlier_restatements: those of earlier runs, for a database that lacks them.
    """

    inputs: Mapping[str, object] = field(default_factory=dict)
    look_ahead_memberships: int | None = None
    look_ahead_quotes: int | None = None
    outliers: int | None = None
    fetches: Iterable[LoggedFetch] = ()
    restatements: Sequence[Restatement] | None = None
    earlier_restatements: Sequence[Restatement] = ()

    @property
    def restated_bars(self) -> int | None:
        return None if self.restatements is None else sum(r.rows_restated for r in self.restatements)


UNKNOWN = Provenance()
"""Of a stage that reads and fetches nothing, or failed."""


def log_provenance(connection: psycopg.Connection, run: RunKey, provenance: Provenance) -> None:
    """Complete the stage's row, and log fetches and restatements, in the transaction that `connection` is in."""
    connection.execute(
        "UPDATE logs_pipeline_run SET inputs = %s, look_ahead_memberships = %s, look_ahead_quotes = %s,"
        " restated_bars = %s, outliers = %s WHERE run_id = %s AND stage = %s",
        (
            *(Jsonb(dict(provenance.inputs)), provenance.look_ahead_memberships, provenance.look_ahead_quotes),
            *(provenance.restated_bars, provenance.outliers, run.run_id, run.stage),
        ),
    )
    log_fetches(connection, provenance.fetches)
    restatements = (*(provenance.restatements or ()), *provenance.earlier_restatements)
    rows = ({**vars(restatement), "stage": run.stage} for restatement in restatements)
    _insert(connection, "logs_price_restatement", [*_names(Restatement), "stage"], rows)


def log_fetches(connection: psycopg.Connection, fetches: Iterable[LoggedFetch]) -> None:
    """Add rows to `logs_fetch`, in the transaction that `connection` is in; those that are there stay as they are."""
    rows = ({**vars(fetch), "message": storable(fetch.message)} for fetch in fetches)
    _insert(connection, "logs_fetch", _names(LoggedFetch), rows)


def _insert(
    connection: psycopg.Connection, table: str, columns: Sequence[str], rows: Iterable[Mapping[str, object]]
) -> None:
    # Another run may have logged it before: recovery and republish log what other runs fetched.
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(map(sql.Placeholder, columns)),
    )
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)


def _names(kind: type[LoggedFetch | Restatement]) -> list[str]:
    return [found.name for found in fields(kind)]
