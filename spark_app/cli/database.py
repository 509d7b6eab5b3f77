"""The database from the command line: `psql`, `db ...` and `show`, as the launcher calls them.

They work on whichever database is in use, the embedded one included.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from spark_app.config.secrets import without_secrets
from spark_app.config.settings import DatabaseSettings, load_database_settings
from spark_app.errors import SparkAppError, UsageError
from spark_app.storage.postgres.database import Database, administrator_of, embedded_server, open_database
from spark_app.storage.postgres.embedded.programs import client_program, psql_program
from spark_app.storage.postgres.locks import tables_exclusive_lock
from spark_app.storage.postgres.migrate import has_tables, migrate
from spark_app.storage.postgres.results import render_results
from spark_app.storage.postgres.roles import ROLES, set_up_roles
from spark_app.text_table import printable

_USAGE = "usage: psql [options of psql] | db start|stop|url|roles | db dump FILE | db restore [--force] FILE | show"

# What a dump says of roles need not be so where it is restored.
_ANYWHERE = ("--no-owner", "--no-acl")


def main(argv: Sequence[str]) -> int:
    """Run one command; returns its exit code."""
    try:
        match list(argv):
            case ["psql", *options]:
                return _psql(options)
            case ["db", "start"]:
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
            case ["show"]:
                with open_database(load_database_settings()) as database:
                    print(render_results(database))
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
    """Write a copy of the whole database to a file, which appears when it is complete.

    Raises: UsageError: the file cannot be written. ServiceUnavailableError: the database does not answer.
    """
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        # Only its owner may read it.
        unfinished.touch(mode=0o600)
    except OSError as error:
        raise UsageError(f"db dump {file}: cannot write: {error.strerror}") from error
    try:
        with open_database(load_database_settings()) as database:
            _run_client(
                database, "pg_dump", "--format=custom", *_ANYWHERE, "--exclude-table=loading.*", "--file", unfinished
            )
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def restore(file: Path, *, replace: bool) -> None:
    """Bring a dumped database back, all of it or nothing, as the owner of the tables (DATABASE_ADMIN_URL if given).

    Raises: UsageError: there is no such file, or the database has tables and `replace` was not asked for.
        AlreadyRunningError: a run is at work.
    """
    # Brings Spark with it, which the other commands do without.
    from spark_app.storage.postgres.publish import sweep_orphans

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
            _restore_in_one_transaction(owner, file)


def _restore_in_one_transaction(owner: Database, file: Path) -> None:
    """Replace what the dump has; a view that it lacks, made by newer code, would keep its tables from being dropped."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "restore.sql"
        script.touch(mode=0o600)
        _run_client(
            owner, "pg_restore", "--clean", "--if-exists", *_ANYWHERE, "--file", script, file, is_connected=False
        )
        with owner.connect() as connection:
            views = connection.execute("SELECT viewname FROM pg_views WHERE schemaname = 'public'").fetchall()
        dropped = [f'--command=DROP VIEW public."{name}"' for (name,) in views if name.startswith("analytics_")]
        options = ("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1")
        _run_client(owner, "psql", *options, *dropped, "--file", script)


def _run_client(database: Database, program: str, *options: str | Path, is_connected: bool = True) -> None:
    """Run a client program; the password reaches it through the environment, never as an argument."""
    target = (f"--dbname={_conninfo(database)}",) if is_connected else ()
    with database.connect():
        pass  # A database that does not answer is reported as by every other command.
    done = subprocess.run(
        [str(client_program(program)), *map(str, options), *target],
        env={**os.environ, **({"PGPASSWORD": database.password} if database.password else {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise SparkAppError(next((line for line in said if "error" in line.lower()), said[0]))


def _psql(options: Sequence[str]) -> int:
    """Open psql; the password reaches it through the environment, never as an argument."""
    with open_database(load_database_settings()) as database:
        # Ctrl+C belongs to psql, which cancels the statement and goes on.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        child = subprocess.Popen(
            [str(psql_program()), *options, _conninfo(database)],
            env={**os.environ, **({"PGPASSWORD": database.password} if database.password else {})},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        return child.wait()


def _conninfo(database: Database) -> str:
    from psycopg.conninfo import make_conninfo

    return make_conninfo(**database.parameters)


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
