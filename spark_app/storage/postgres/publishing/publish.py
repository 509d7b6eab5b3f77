"""Publishing to Postgres: load rows by JDBC into a loading table, then merge them in one transaction.

Readers see either the old rows or all of the new ones. Spark's JDBC writer alone is not atomic and has no upsert.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import psycopg
from psycopg import sql

from spark_app.errors import PassingFailureError, SparkAppError
from spark_app.schemas import ServedTable
from spark_app.storage.postgres.database import Database, translated_errors
from spark_app.storage.postgres.outbox import pending_removals, pending_upserts
from spark_app.storage.postgres.provenance import UNKNOWN, Provenance, log_provenance
from spark_app.storage.postgres.publishing import loading
from spark_app.storage.postgres.publishing.publication import Publication, RowSet
from spark_app.storage.postgres.publishing.served_columns import check_columns, sql_type
from spark_app.storage.postgres.publishing.unchanged import (
    Content,
    keep_contents,
    observed,
    read_contents,
    unchanged_of,
)
from spark_app.storage.postgres.retry import retried
from spark_app.storage.postgres.run_log import (
    ConsumerError,
    RowCounts,
    RunKey,
    RunResult,
    claim_origin,
    finish_run,
    finished_run,
    log_errors,
)

_LOCK_SECONDS = 60.0


def publish(
    database: Database,
    run: RunKey,
    result: RunResult,
    *,
    origin: str,
    publications: Sequence[Publication] = (),
    errors: Iterable[ConsumerError] = (),
    provenance: Provenance = UNKNOWN,
    topic: str | None = None,
    confirm: Callable[[], object] = lambda: None,
) -> RowCounts:
    """Merge what the stage produced and complete its row in the run log, in one transaction.

    Safe to retry after any failure: a merge that was committed, though its answer was lost, is not repeated.

    Args:
        topic: the Kafka topic that gets a message for each changed row; None for no messages.
        confirm: called before the merge; raises if this run may no longer publish.
    Raises: ServiceUnavailableError: Postgres failed; the served tables are unchanged.
        SparkAppError: Postgres rejects a row, a key is not unique, or a served table was changed by hand; the served
            tables are unchanged.
    """
    with translated_errors("publishing"), database.connect() as connection:
        check_columns(connection, [p.table for p in publications])
        served = unchanged_of(publications, read_contents(connection, run, publications))
        watched = observed([p for p in publications if p.table.name not in served])
        with loaded_rows(database, connection, run.run_id, watched.publications) as loaded:
            contents = watched.contents()
            counted = [_count_loaded(connection, p, rows, contents[p.table.name]) for p, rows in loaded]
            confirm()
            with connection.transaction():
                _prepare_merge(connection, {p.table.name for p in publications})
                if (done := finished_run(connection, run)) is not None:
                    return done
                if publications:
                    claim_origin(connection, origin)
                known = read_contents(connection, run, publications)
                if any(known.get(table) != content for table, content in served.items()):
                    # Only a merge of another run, or somebody's hand, comes between.
                    raise PassingFailureError("a served table was changed while its rows were compared: run it again")
                merged = [
                    _merge(connection, publication, rows, count, run, topic)
                    for (publication, rows), count in zip(loaded, counted, strict=True)
                ]
                counts = sum(merged, RowCounts())
                counts += RowCounts(unchanged=sum(content.rows for content in served.values()))
                keep_contents(connection, run, contents)
                log_errors(connection, run, errors)
                log_provenance(connection, run, provenance)
                finish_run(connection, run, result, counts)
    return counts


@contextlib.contextmanager
def loaded_rows(
    database: Database, connection: psycopg.Connection, run_id: str, publications: Sequence[Publication]
) -> Iterator[list[tuple[Publication, sql.Composable]]]:
    """Load the rows of each publication for the duration of the block; yields each with a SELECT of its loaded rows.

    The columns of the served tables are those of `schemas`, see `check_columns`.
    """
    names = {id(p.rows): _loading_name(run_id, p.table) for p in reversed(publications)}
    loaded = [(p, names[id(p.rows)]) for p in publications]
    try:
        for name, publication in {name: p for p, name in reversed(loaded)}.items():
            loading.create_table(connection, publication.table, name)
            loading.load(database, publication.rows, publication.table, name)
        yield [(publication, _select_loaded(publication, name)) for publication, name in loaded]
    finally:
        loading.drop_tables(connection, list(names.values()))


def _prepare_merge(connection: psycopg.Connection, tables: set[str]) -> None:
    """Take the merge lock of each table: with one merge at a time, rows found to be new stay new until inserted."""
    connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS:g}s'".encode())
    # Two years of 500 tickers take 40 MB to sort and 40 MB to join; with the usual 4 MB they would go to disk.
    connection.execute("SET LOCAL work_mem = '64MB'")
    # Without statistics the planner chooses a merge join, which sorts both sides: 0.43 s instead of 0.23 s.
    connection.execute("SET LOCAL enable_mergejoin = off")
    for name in sorted(tables):  # In one order, so that no two runs wait for each other.
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"merge {name}",))


@retried
def sweep_orphans(database: Database, *, older_than: dt.timedelta = dt.timedelta(hours=24)) -> None:
    """Drop the loading tables of dead runs, as far as the user may drop them."""
    with translated_errors("sweeping loading tables"), database.connect() as connection:
        rows = connection.execute(
            "SELECT t.relname FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace"
            " WHERE n.nspname = %s AND t.relkind = 'r'"
            " AND obj_description(t.oid, 'pg_class')::timestamptz < now() - %s"
            " AND (pg_has_role(t.relowner, 'USAGE') OR pg_has_role(n.nspowner, 'USAGE'))",
            (loading.SCHEMA, older_than),
        ).fetchall()
        loading.drop_tables(connection, [name for (name,) in rows])


@retried
def enqueue_rows(database: Database, run: RunKey, tables: Sequence[ServedTable], topic: str) -> int:
    """Add a pending message for each row of the tables; returns their number."""
    with translated_errors("adding messages"), database.connect() as connection, connection.transaction():
        _prepare_merge(connection, {table.name for table in tables})
        return sum(_enqueue_table(connection, table, run, topic) for table in tables)


def _enqueue_table(connection: psycopg.Connection, table: ServedTable, run: RunKey, topic: str) -> int:
    statement = sql.SQL(
        "WITH changed AS (SELECT * FROM {target}) {pending_upserts} SELECT count(*) FROM changed"
    ).format(target=sql.Identifier(table.name), pending_upserts=pending_upserts(table, run, topic))
    ((rows,),) = connection.execute(statement).fetchall()
    return int(rows)


def _loading_name(run_id: str, table: ServedTable) -> str:
    # A new name for each attempt: the table of a lost connection may still be locked.
    return f"{table.name}_{run_id[-8:]}_{secrets.token_hex(2)}"


def _count_loaded(
    connection: psycopg.Connection, publication: Publication, rows: sql.Composable, computed: Content
) -> int:
    """Count the loaded rows: Spark repeats a task whose commit had no answer, and loads its rows a second time."""
    ((count,),) = connection.execute(sql.SQL("SELECT count(*) FROM {} AS loaded").format(rows)).fetchall()
    if count != computed.rows:
        table = publication.table.name
        raise PassingFailureError(f"{count:,} rows were loaded for {table}, not {computed.rows:,}: run it again")
    return int(count)


def _merge(
    connection: psycopg.Connection,
    publication: Publication,
    rows: sql.Composable,
    loaded: int,
    run: RunKey,
    topic: str | None,
) -> RowCounts:
    table = publication.table
    topic = topic if table.is_sent else None
    names = {"target": sql.Identifier(table.name), "loading": rows}
    names |= {
        "pending_upserts": pending_upserts(table, run, topic),
        "pending_removals": pending_removals(table, run, topic),
    }
    inserted, differing, updated = _counts(connection, _upsert_statement(table, names, run.run_id))
    if updated != differing:
        raise SparkAppError(f"{table.name}: more than one row was computed for the same {', '.join(table.key)}")
    removed = _remove_stale_rows(connection, publication.owned, table, names) if publication.owned else 0
    return RowCounts(inserted, updated, loaded - inserted - updated, removed)


def _select_loaded(publication: Publication, name: str) -> sql.Composable:
    rows = loading.select_statement(publication.table, name)
    if publication.only is None:
        return sql.SQL("({})").format(rows)
    tickers = _joined(map(sql.Literal, publication.only))
    return sql.SQL("({} WHERE ticker IN ({}))").format(rows, tickers)


def _upsert_statement(table: ServedTable, names: dict[str, sql.Composable], run_id: str) -> sql.Composed:
    """Insert new rows and update those that differ; selects the number of rows new, differing and updated.

    `INSERT ... ON CONFLICT DO UPDATE` takes 50 % longer: it looks up every key a second time.
    """
    computed = table.computed_schema.fieldNames()
    added = [sql.SQL("{} AS {}").format(sql.Literal(run_id), sql.Identifier(name)) for name in table.added]
    return sql.SQL(
        "WITH changed AS MATERIALIZED ("
        "  SELECT {loaded_columns}, served.{first_key} IS NULL AS is_new"
        "  FROM {loading} AS loaded LEFT JOIN {target} AS served USING ({key})"
        "  WHERE served.{first_key} IS NULL OR ({served_values}) IS DISTINCT FROM ({loaded_values})"
        "  ORDER BY {loaded_key}"
        "), inserted AS ("
        "  INSERT INTO {target} ({columns}) SELECT {columns} FROM changed WHERE is_new"
        "), updated AS ("
        "  UPDATE {target} AS served SET {assignments} FROM changed"
        "  WHERE NOT is_new AND ({served_key}) = ({changed_key}) RETURNING 1"
        ") {pending_upserts} SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new),"
        "  (SELECT count(*) FROM updated) FROM changed"
    ).format(
        columns=joined_columns(table.schema.fieldNames()),
        loaded_columns=sql.SQL(", ").join([joined_columns(computed, "loaded"), *added]),
        key=joined_columns(table.key),
        first_key=sql.Identifier(table.key[0]),
        loaded_key=joined_columns(table.key, "loaded"),
        served_key=joined_columns(table.key, "served"),
        changed_key=joined_columns(table.key, "changed"),
        served_values=joined_columns(table.compared, "served"),
        loaded_values=joined_columns(table.compared, "loaded"),
        assignments=_joined(
            sql.SQL("{0} = changed.{0}").format(sql.Identifier(n))
            for n in table.schema.fieldNames()
            if n not in table.key
        ),
        **names,
    )


def _remove_stale_rows(
    connection: psycopg.Connection, owned: RowSet, table: ServedTable, names: dict[str, sql.Composable]
) -> int:
    if not owned.values:
        return 0
    statement = sql.SQL(
        "WITH removed AS (DELETE FROM {target} AS served WHERE {stale} RETURNING {served_key}) {pending_removals}"
        " SELECT count(*) FROM removed"
    ).format(stale=stale_rows(owned, table, names), served_key=joined_columns(table.key, "served"), **names)
    ((removed,),) = connection.execute(statement).fetchall()
    return int(removed)


def stale_rows(owned: RowSet, table: ServedTable, names: Mapping[str, sql.Composable]) -> sql.Composed:
    """Return the condition for a row `served` to be stale: in the set, and not among the rows of `names["loading"]`."""
    # Without VALUES each row of the set is a level in PostgreSQL's parser, whose stack ends at some 8,000 levels.
    return sql.SQL(
        "({columns}) IN (VALUES {values}) AND NOT EXISTS"
        " (SELECT 1 FROM {loading} AS loaded WHERE ({loaded_key}) = ({key}))"
    ).format(
        columns=joined_columns(owned.columns, "served"),
        values=_typed_values(owned, table),
        loading=names["loading"],
        loaded_key=joined_columns(table.key, "loaded"),
        key=joined_columns(table.key, "served"),
    )


def _typed_values(owned: RowSet, table: ServedTable) -> sql.Composed:
    """Return the rows of a set with the types of their columns: as in messages, a date may be a text."""
    types = [sql.SQL(sql_type(table.schema[name].dataType)) for name in owned.columns]
    rows = (
        _joined(sql.SQL("{}::{}").format(value, type_name) for value, type_name in zip(row, types, strict=True))
        for row in owned.values
    )
    return _joined(sql.SQL("({})").format(row) for row in rows)


def _counts(connection: psycopg.Connection, statement: sql.Composed) -> tuple[int, int, int]:
    new, differing, updated = connection.execute(statement).fetchall()[0]
    return new, differing, updated


def joined_columns(names: Sequence[str], table: str | None = None) -> sql.Composed:
    """Return columns separated by commas, each with the name of its table where one is given."""
    return _joined(sql.Identifier(table, n) if table else sql.Identifier(n) for n in names)


def _joined(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
