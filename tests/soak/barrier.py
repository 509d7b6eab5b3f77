"""Holding a job at a chosen moment inside PostgreSQL: triggers wait there for a lock that the campaign holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
from psycopg import sql

from spark_app.storage.postgres.database import Database
from tests.integration.world import KEYS

LOADING, MERGING, COMMITTING, COMMITTED = "loading", "merging", "committing", "committed"
_LOCK = 7_041_776

# Sequences know no transaction: what is rolled back was counted all the same.
_COUNTING = """
CREATE SCHEMA soak;
CREATE SEQUENCE soak.events;
CREATE FUNCTION soak.count_event() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF nextval('soak.events') = {number} THEN PERFORM pg_advisory_xact_lock({lock}); END IF;
END $$;
CREATE FUNCTION soak.on_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM soak.count_event();
    RETURN NEW;
END $$;
"""
_ON_ROWS_LOADED = """
CREATE FUNCTION soak.on_table() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE made record;
BEGIN
    FOR made IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE schema_name = 'loading' LOOP
        EXECUTE format('CREATE TRIGGER soak BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION soak.on_row()',
                       made.object_identity);
    END LOOP;
END $$;
CREATE EVENT TRIGGER soak ON ddl_command_end WHEN TAG IN ('CREATE TABLE AS') EXECUTE FUNCTION soak.on_table();
"""
_ON_ROWS_MERGED = "CREATE TRIGGER soak BEFORE INSERT OR UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION soak.on_row()"
# Deferred: it fires when the server has got the COMMIT and before anything is durable.
_ON_COMMIT = """
CREATE CONSTRAINT TRIGGER soak AFTER UPDATE ON logs_pipeline_run DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.finished_at IS NOT NULL) EXECUTE FUNCTION soak.on_row();
"""
# The first that a run does after its commit is to drop its loading tables.
_ON_DROP = """
CREATE FUNCTION soak.on_drop() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS
$$ BEGIN PERFORM soak.count_event(); END $$;
CREATE EVENT TRIGGER soak ON ddl_command_start WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION soak.on_drop();
"""


class Barrier:
    """A job that comes to the `number`-th event of a kind waits there until the block of `barrier` ends."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def is_reached(self) -> bool:
        """Say whether a job waits."""
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
        return self._connection.execute(waiting, (_LOCK,)).fetchone() is not None


@contextlib.contextmanager
def barrier(database: Database, event: str, number: int) -> Iterator[Barrier]:
    """Set up a barrier for the duration of the block; `event` is one of the words above.

    At its end a server process whose job was killed goes on, as it would: what it was told to commit is committed,
    all else is rolled back.
    """
    with database.connect() as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        for statement in _statements(event, number):
            connection.execute(statement)
        try:
            yield Barrier(connection)
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))
            connection.execute("DROP EVENT TRIGGER IF EXISTS soak")
            connection.execute("DROP SCHEMA soak CASCADE")


def _statements(event: str, number: int) -> Iterator[sql.SQL | sql.Composed]:
    yield sql.SQL(_COUNTING).format(number=sql.Literal(number), lock=sql.Literal(_LOCK))
    if event == MERGING:
        yield from (sql.SQL(_ON_ROWS_MERGED).format(sql.Identifier(table)) for table in KEYS)
    else:
        yield sql.SQL({LOADING: _ON_ROWS_LOADED, COMMITTING: _ON_COMMIT, COMMITTED: _ON_DROP}[event])
