"""The database from the command line: `psql`, `db ...` and `show`, as the launcher calls them.

They work on whichever database is in use, the embedded one included.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from spark_app.cli.show import show
from spark_app.config.secrets import without_secrets
from spark_app.config.settings import DatabaseSettings, load_database_settings
from spark_app.errors import ServiceUnavailableError, SparkAppError, UsageError
from spark_app.storage.postgres.comments import read_comments
from spark_app.storage.postgres.database import (
    Database,
    administrator_of,
    embedded_server,
    open_database,
    translated_errors,
)
from spark_app.storage.postgres.embedded.programs import client_program
from spark_app.storage.postgres.locks import tables_exclusive_lock
from spark_app.storage.postgres.migrate import SCHEMA_LOCK, has_tables, migrate
from spark_app.storage.postgres.remedies import locked_table
from spark_app.storage.postgres.restored import NEW_MESSAGE_IDS, renewed_rights
from spark_app.storage.postgres.roles import ROLES, set_up_roles
from spark_app.text_table import printable

_USAGE = "usage: psql [options of psql] | db start|stop|url|roles | db dump FILE | db restore [--force] FILE | show ..."

# What a dump says of roles need not be so where it is restored.
_ANYWHERE = ("--no-owner", "--no-acl")
_PSQL_OPTIONS = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1")
# The first is of PostgreSQL 17; the second would wait without end for a table that someone else has locked.
_SETTINGS_OF_PG_RESTORE = (b"SET transaction_timeout = 0;", b"SET lock_timeout = 0;")
_LOCK_MILLISECONDS = 60_000


def main(argv: Sequence[str]) -> int:
    """Run one command; returns its exit code."""
    try:
        match list(argv):
            case ["psql", *options]:
                return _psql(options)
            case ["db", "start"]:
                if load_database_settings().url is not None:
                    print(
                        "DATABASE_URL is set: jobs use that server, not the embedded one that starts here",
                        file=sys.stderr,
                    )
                print(embedded_server().keep_running())
            case ["db", "stop"]:
                stopped = embedded_server().stop()
                print("stopped" if stopped else "in use: it stops when the last job ends")
            case ["db", "url"]:
                print(_url())
            case ["db", "roles"]:
                _set_up_roles()
            case ["db", "dump", file]:
                dump(Path(file))
                print(f"dumped to {file}")
            case ["db", "restore", "--force", file] | ["db", "restore", file]:
                restore(Path(file), replace="--force" in argv)
                print(f"restored from {file}")
            case ["show", *options]:
                print(show(options))
            case _:
                raise UsageError(_USAGE)
    except SparkAppError as error:
        print(printable(without_secrets(str(error))), file=sys.stderr)
        return error.exit_code
    return 0


def _set_up_roles() -> None:
    """Set up the roles as the administrator that DATABASE_ADMIN_URL names, else as the database's own user."""
    settings = load_database_settings()
    if settings.admin_url is not None:
        settings = DatabaseSettings(url=settings.admin_url)
    with open_database(settings) as database:
        migrate(database)
        set_up_roles(database)
        print(f"the roles of {database.place} are set up: {', '.join(ROLES)}")


def dump(file: Path) -> None:
    """Write a copy of the whole database to a file, which appears when it is complete (DATABASE_ADMIN_URL if given).

    Raises: UsageError: the file cannot be written. ServiceUnavailableError: the database does not answer.
    """
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        # Only its owner may read it.
        unfinished.touch(mode=0o600)
    except OSError as error:
        raise UsageError(f"db dump {file}: cannot write: {error.strerror}") from error
    try:
        named = load_database_settings()
        with open_database(named) as database:
            _dump(administrator_of(named, database), unfinished)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def restore(file: Path, *, replace: bool) -> None:
    """Bring a dumped database back, all of it or nothing, as the owner of the tables (DATABASE_ADMIN_URL if given).

    Raises: UsageError: there is no such file, or the database has tables and `replace` was not asked for.
        AlreadyRunningError: a run is at work.
    """
    # Brings Spark with it, which the other commands do without.
    from spark_app.storage.postgres.publishing.publish import sweep_orphans

    if not file.is_file():
        raise UsageError(f"db restore {file}: there is no such file")
    named = load_database_settings()
    with open_database(named) as database:
        owner = administrator_of(named, database)
        with tables_exclusive_lock(owner):
            if has_tables(owner):
                if not replace:
                    raise UsageError(f"the database has tables already: db restore --force {file} replaces them")
                sweep_orphans(owner, older_than=dt.timedelta())
            _restore(owner, file)


def _dump(database: Database, file: Path) -> None:
    client = database.client_connection()
    program = client_program("pg_dump", with_tls=client.uses_tls, for_server=client.server_version)
    options = ("--format=custom", *_ANYWHERE, "--exclude-table=loading.*", f"--lock-wait-timeout={_LOCK_MILLISECONDS}")
    done = subprocess.run(
        [str(program), *options, "--file", str(file), f"--dbname={client.conninfo}"],
        env=_environment(database),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        failure = _failure(database, "dumping", done.stderr)
        raise failure


def _restore(database: Database, file: Path) -> None:
    """Let pg_restore write the statements and psql run them, in one transaction that is committed if both succeed.

    pg_restore alone sends settings of its own version, which an older server refuses. A view that the dump lacks, made
    by newer code, would keep its tables from being dropped; a table that it lacks would be in the way of its migration.
    """
    client = database.client_connection()
    with database.connect() as connection:
        views = connection.execute("SELECT viewname FROM pg_views WHERE schemaname = 'public'").fetchall()
        rights = renewed_rights(connection)
    dropped = [f'DROP VIEW public."{name}";\n'.encode() for (name,) in views if name.startswith("analytics_")]
    ours = ", ".join(f'public."{comment.name}"' for comment in read_comments())
    dropped.append(f"DROP TABLE IF EXISTS {ours};\n".encode())
    reading = [str(client_program("pg_restore")), "--clean", "--if-exists", *_ANYWHERE, "--file=-", str(file)]
    running = [str(client_program("psql", with_tls=client.uses_tls)), *_PSQL_OPTIONS, f"--dbname={client.conninfo}"]
    with tempfile.TemporaryFile() as of_reader, tempfile.TemporaryFile() as of_writer:
        reader = subprocess.Popen(reading, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=of_reader)
        writer = subprocess.Popen(
            running, env=_environment(database), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=of_writer
        )
        # psql ends at the first error, and reads no more.
        with contextlib.suppress(BrokenPipeError), writer.stdin as statements, reader.stdout as script:  # type: ignore[union-attr]
            statements.write(f"BEGIN;\nSELECT pg_advisory_xact_lock({SCHEMA_LOCK});\n".encode())
            statements.writelines(dropped)
            copy_script(script, statements)
            if reader.wait() == 0:
                statements.write(f"{NEW_MESSAGE_IDS}{rights}COMMIT;\n".encode())
        for process, said in ((writer, of_writer), (reader, of_reader)):
            if process.wait() != 0:
                said.seek(0)
                failure = _failure(database, "restoring", said.read())
                raise failure


def copy_script(script: IO[bytes], statements: IO[bytes]) -> None:
    """Copy the statements of pg_restore, without the settings of a session that a server may not know or we set.

    They come before the first table's rows, which are copied as they are.
    """
    for line in script:
        if line.strip() not in _SETTINGS_OF_PG_RESTORE:
            statements.write(line)
        if line.startswith(b"COPY "):
            break
    shutil.copyfileobj(script, statements)


def _failure(database: Database, doing: str, said: bytes) -> SparkAppError:
    """Return the first error that a client program printed; for a lock also the table, as far as it is still locked."""
    lines = said.decode(errors="replace").strip().splitlines() or ["no message"]
    line = next((line for line in lines if "error" in line.lower()), lines[0])
    if "permission denied" in line or "may lack" in line:
        return SparkAppError(f"{line}: name a member of spark_app_owner in DATABASE_ADMIN_URL (WORKFLOW.md, Roles)")
    # pg_dump waits for locks with a statement timeout, its only one.
    if "due to lock timeout" not in line and "due to statement timeout" not in line:
        return SparkAppError(line)
    with translated_errors("reading the locks"), database.connect() as connection:
        reason = ": ".join(part for part in (line, locked_table(connection)) if part)
        return ServiceUnavailableError(f"PostgreSQL failed while {doing}: {reason}")


def _environment(database: Database) -> dict[str, str]:
    """The environment of a client program; the password is in it, never in an argument."""
    return {**os.environ, **({"PGPASSWORD": database.password} if database.password else {})}


def _psql(options: Sequence[str]) -> int:
    with open_database(load_database_settings()) as database:
        client = database.client_connection()
        # Ctrl+C belongs to psql, which cancels the statement and goes on.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        child = subprocess.Popen(
            [str(client_program("psql", with_tls=client.uses_tls)), *options, client.conninfo],
            env=_environment(database),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        return child.wait()


def _url() -> str:
    """The URL for other programs, password included; the embedded server must have been started for good."""
    settings = load_database_settings()
    if settings.url is not None:
        return settings.url.get_secret_value()
    url = embedded_server().running_url()
    if url is None:
        raise UsageError("the embedded database runs only while a job does: `db start` keeps it running")
    return url


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
