"""The database from the command line: `psql`, `db start|stop|url|roles` and `show`, as the launcher calls them.

They work on whichever database is in use, the embedded one included.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from spark_app.errors import SparkAppError, UsageError
from spark_app.settings import DatabaseSettings, load_database_settings
from spark_app.storage.database import Database, embedded_server, open_database
from spark_app.storage.embedded import psql_program
from spark_app.storage.migrate import migrate
from spark_app.storage.results import render_results
from spark_app.storage.roles import ROLES, set_up_roles

_USAGE = "usage: psql [options of psql] | db start|stop|url|roles | show"


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
            case ["show"]:
                with open_database(load_database_settings()) as database:
                    print(render_results(database))
            case _:
                raise UsageError(_USAGE)
    except SparkAppError as error:
        print(error, file=sys.stderr)
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
