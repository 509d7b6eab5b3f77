"""What a user can do about an error of PostgreSQL that its own message does not say."""

from __future__ import annotations

import contextlib

import psycopg

STANDBY = "the server is a standby: name the primary in DATABASE_URL"
_READ_ONLY = (
    "sessions are read-only by default: ALTER ROLE or ALTER DATABASE ... SET default_transaction_read_only = off"
)
_CHANGED = "a table was changed by hand: undo that, or restore the database (WORKFLOW.md, Backup and loss)"
_DAMAGED = "files of the server are damaged: restore the database (WORKFLOW.md, Backup and loss)"
_BY_STATE = {
    "42501": "run `db roles`, or name a user with this right in DATABASE_ADMIN_URL (WORKFLOW.md, Roles)",
    "42P01": _CHANGED,
    "42703": _CHANGED,
    "42804": _CHANGED,
    "42883": _CHANGED,
    "53100": "free space on the disk of the server",
    "53200": "free memory on the machine of the server, or lower its work_mem",
    "53300": "end other sessions, or raise the server's max_connections",
    "53400": "raise that limit of the server",
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
"""SQLSTATEs: a missing right; an unknown table or column, another type, no such operator for them; a full disk, no
memory, no connection, another limit; a damaged table or index."""

# Of several the one whose lock keeps out most others. Readers are in the way of a migration only.
_LOCKED_TABLE = """
SELECT taken.relation::regclass::text, taken.mode IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock'),
       other.pid, other.usename, other.application_name
FROM pg_locks AS taken JOIN pg_stat_activity AS other USING (pid)
JOIN pg_class AS relation ON relation.oid = taken.relation AND relation.relkind IN ('r', 'p')
JOIN pg_namespace AS schema ON schema.oid = relation.relnamespace AND schema.nspname IN ('public', 'loading')
WHERE taken.locktype = 'relation' AND taken.granted AND other.datname = current_database()
  AND other.pid NOT IN (%s, pg_backend_pid())
ORDER BY 2, taken.mode = 'AccessExclusiveLock' DESC, other.xact_start LIMIT 1
"""


def explain(connection: psycopg.Connection, error: psycopg.Error) -> None:
    """Add to an error what only the connection knows, as a note: who has the lock, and why nothing can be written."""
    if isinstance(error, psycopg.errors.LockNotAvailable):
        # Without a second connection the first line stays, and it is the failure that counts.
        with contextlib.suppress(psycopg.Error):
            # The transaction of the connection itself has failed.
            info = connection.info
            with psycopg.connect(info.dsn, password=info.password, autocommit=True) as beside:
                error.add_note(locked_table(beside, besides=info.backend_pid))
    elif isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        standby = connection.info.parameter_status("in_hot_standby") == "on"
        error.add_note(STANDBY if standby else _READ_ONLY)


def reason_of(error: psycopg.Error) -> str:
    """Return an error in one line: PostgreSQL's message, what is known beside it, and what to do."""
    line = (error.diag.message_primary or str(error).strip().splitlines()[0]).strip()
    notes = [note for note in getattr(error, "__notes__", ()) if note]
    return with_remedy(": ".join([line, *notes]), error.sqlstate)


def with_remedy(reason: str, state: str | None) -> str:
    """Add to the reason of a failure what to do about its SQLSTATE, if something is known."""
    remedy = _BY_STATE.get(state or "")
    return f"{reason}: {remedy}" if remedy else reason


def is_standby(error: psycopg.Error) -> bool:
    """Say whether the server that rejected a statement is a standby, as `explain` noted it."""
    return STANDBY in getattr(error, "__notes__", ())


def locked_table(connection: psycopg.Connection, *, besides: int = 0) -> str:
    """Name a table that another session has locked; "" if there is none, for an advisory lock or one just released.

    Args: besides: a process of the server that does not count.
    """
    found = connection.execute(_LOCKED_TABLE, (besides,)).fetchone()
    if found is None:
        return ""
    table, is_shared, process, user, application = found
    who = f"process {process}, user {user}" + (f", application {application}" if application else "")
    return f"{table} is {'in use' if is_shared else 'locked'} by another session ({who}): end it, or wait for it"
