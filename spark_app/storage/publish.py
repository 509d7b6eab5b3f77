"""Publishing to Postgres: rows by JDBC into a loading table, then one transaction that merges them.

Spark's JDBC writer is neither atomic nor does it know upserts; so readers see either the old rows or
all of the new ones. Rows are merged in key order: in any other order concurrent runs deadlock.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

from spark_app.errors import ServiceUnavailableError, SparkAppError
from spark_app.schemas import ServedTable
from spark_app.storage.database import Database, translated_errors
from spark_app.storage.run_log import (
    ConsumerError,
    RowCounts,
    RunKey,
    RunResult,
    claim_origin,
    finish_run,
    log_errors,
)

_BATCH_ROWS = 20_000
_LOADING = "loading"


@dataclass(frozen=True)
class RowSet:
    """The rows of a table that a run answers for as a whole, for example those of one as-of date.

    Rows of the set that the run did not produce are removed, so that a rerun leaves no ghosts.
    """

    columns: tuple[str, ...]
    values: tuple[tuple[object, ...], ...]


@dataclass(frozen=True)
class Publication:
    """Rows for one served table, without `run_id`; `owned` where they form a set.

    Publications that share one DataFrame are loaded together; `only` then names the tickers of each.
    """

    table: ServedTable
    rows: DataFrame
    owned: RowSet | None = None
    only: tuple[str, ...] | None = None


def publish(
    database: Database,
    run: RunKey,
    result: RunResult,
    *,
    origin: str,
    publications: Sequence[Publication] = (),
    errors: Sequence[ConsumerError] = (),
) -> RowCounts:
    """Merge what the stage produced and close its row in the run log: all of it, or nothing.

    Raises: ServiceUnavailableError: Postgres went away; the served tables are as they were.
    """
    names = {id(p.rows): _loading_name(run, p.table) for p in reversed(publications)}
    loaded = [(p, names[id(p.rows)]) for p in publications]
    with translated_errors("publishing"), database.connect() as connection:
        try:
            for name, publication in {name: p for p, name in reversed(loaded)}.items():
                _create_loading_table(connection, publication.table, name)
                _load(database, publication, name)
            with connection.transaction():
                _lock_merge(connection, run.stage)
                if loaded:
                    claim_origin(connection, origin)
                counts = sum((_merge(connection, p, name, run.run_id) for p, name in loaded), RowCounts())
                log_errors(connection, run, errors)
                finish_run(connection, run, result, counts)
        finally:
            _drop_loading_tables(connection, list(names.values()))
    return counts


def _lock_merge(connection: psycopg.Connection, stage: str) -> None:
    connection.execute("SET LOCAL lock_timeout = '60s'")
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"merge {stage}",))


def sweep_orphans(database: Database, *, older_than: dt.timedelta = dt.timedelta(hours=24)) -> None:
    """Drop loading tables that a run which died left behind."""
    with translated_errors("sweeping loading tables"), database.connect() as connection:
        rows = connection.execute(
            "SELECT t.relname FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace"
            " WHERE n.nspname = %s AND t.relkind = 'r'"
            " AND obj_description(t.oid, 'pg_class')::timestamptz < now() - %s",
            (_LOADING, older_than),
        ).fetchall()
        _drop_loading_tables(connection, [name for (name,) in rows])


def _loading_name(run: RunKey, table: ServedTable) -> str:
    return f"{table.name}_{run.run_id[-8:]}"


def _create_loading_table(connection: psycopg.Connection, table: ServedTable, name: str) -> None:
    loading = sql.Identifier(_LOADING, name)
    connection.execute(
        sql.SQL("CREATE UNLOGGED TABLE {} AS SELECT {} FROM {} WITH NO DATA").format(
            loading, _columns(table.computed_schema.fieldNames()), sql.Identifier(table.name)
        )
    )
    # The comment carries the time of birth: Postgres keeps none of its own.
    created_at = dt.datetime.now(dt.UTC).isoformat()
    connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(loading, sql.Literal(created_at)))


def _load(database: Database, publication: Publication, name: str) -> None:
    writer = (
        publication.rows.select(*publication.table.computed_schema.fieldNames()).write.format("jdbc").mode("append")
    )
    options = {**database.jdbc_options(), "dbtable": f'{_LOADING}."{name}"', "batchsize": str(_BATCH_ROWS)}
    try:
        writer.options(**options).save()
    except (PySparkException, Py4JJavaError) as error:
        reason = _reason(error)
        kind = SparkAppError if "violates" in reason else ServiceUnavailableError
        raise kind(f"loading rows for {publication.table.name} into PostgreSQL failed: {reason}") from error


def _reason(error: Exception) -> str:
    """The driver's own sentence: Spark wraps it in a stack trace that repeats the whole row."""
    causes = re.findall(r"PSQLException: (?:ERROR: )?([^\n]+)", str(error))
    return str(causes[-1]) if causes else str(error).strip().splitlines()[0][:300]


def _merge(connection: psycopg.Connection, publication: Publication, name: str, run_id: str) -> RowCounts:
    table = publication.table
    names = {"target": sql.Identifier(table.name), "loading": _loaded_rows(publication, name)}
    loaded = _count(connection, sql.SQL("SELECT count(*) FROM {loading} AS loaded").format(**names))
    row = connection.execute(_upsert_statement(table, names, run_id)).fetchone()
    inserted, updated = row if row is not None else (0, 0)
    removed = _remove_ghosts(connection, publication.owned, table, names) if publication.owned else 0
    return RowCounts(inserted, updated, loaded - inserted - updated, removed)


def _loaded_rows(publication: Publication, name: str) -> sql.Composable:
    loading = sql.Identifier(_LOADING, name)
    if publication.only is None:
        return loading
    tickers = sql.SQL(", ").join(map(sql.Literal, publication.only))
    return sql.SQL("(SELECT * FROM {} WHERE ticker IN ({}))").format(loading, tickers)


def _upsert_statement(table: ServedTable, names: dict[str, sql.Composable], run_id: str) -> sql.Composed:
    computed = table.computed_schema.fieldNames()
    return sql.SQL(
        "WITH merged AS ("
        "  INSERT INTO {target} ({columns}, run_id)"
        "  SELECT {loaded_columns}, {run_id} FROM {loading} AS loaded LEFT JOIN {target} AS held USING ({key})"
        "  WHERE held.{first_key} IS NULL OR ({held_values}) IS DISTINCT FROM ({loaded_values})"
        "  ORDER BY {loaded_key}"
        "  ON CONFLICT ({key}) DO UPDATE SET {assignments}"
        "  RETURNING xmax = 0 AS is_new)"
        " SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM merged"
    ).format(
        columns=_columns(computed),
        loaded_columns=_columns(computed, "loaded"),
        run_id=sql.Literal(run_id),
        key=_columns(table.key),
        first_key=sql.Identifier(table.key[0]),
        loaded_key=_columns(table.key, "loaded"),
        held_values=_columns(table.compared, "held"),
        loaded_values=_columns(table.compared, "loaded"),
        assignments=sql.SQL(", ").join(
            sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(n))
            for n in table.schema.fieldNames()
            if n not in table.key
        ),
        **names,
    )


def _remove_ghosts(
    connection: psycopg.Connection, owned: RowSet, table: ServedTable, names: dict[str, sql.Composable]
) -> int:
    if not owned.values:
        return 0
    statement = sql.SQL(
        "DELETE FROM {target} AS held WHERE ({columns}) IN ({values})"
        " AND NOT EXISTS (SELECT 1 FROM {loading} AS loaded WHERE ({loaded_key}) = ({held_key}))"
    ).format(
        columns=_columns(owned.columns, "held"),
        values=sql.SQL(", ").join(
            sql.SQL("({})").format(sql.SQL(", ").join(sql.Literal(v) for v in row)) for row in owned.values
        ),
        loaded_key=_columns(table.key, "loaded"),
        held_key=_columns(table.key, "held"),
        **names,
    )
    return connection.execute(statement).rowcount


def _count(connection: psycopg.Connection, statement: sql.Composed) -> int:
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row is not None else 0


def _columns(names: Sequence[str], table: str | None = None) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(table, n) if table else sql.Identifier(n) for n in names)


def _drop_loading_tables(connection: psycopg.Connection, names: Sequence[str]) -> None:
    # Where the connection is lost they stay behind; the next run's sweep takes them.
    with contextlib.suppress(psycopg.OperationalError):
        for name in names:
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(_LOADING, name)))
