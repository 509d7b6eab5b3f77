"""Variables of the environment that PostgreSQL's client library reads, and that must not change what a run does.

DATABASE_URL says where the database is and how it is reached. A user, a password and a password file may come from
the environment (`PGUSER`, `PGPASSWORD`, `PGPASSFILE`): they are credentials of a machine.
"""

from __future__ import annotations

import os

CREDENTIALS = ("PGUSER", "PGPASSWORD", "PGPASSFILE")
IGNORED = (
    *("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGLOCALEDIR"),
    *("PGOPTIONS", "PGAPPNAME", "PGCLIENTENCODING", "PGDATESTYLE", "PGTZ", "PGGEQO", "PGCONNECT_TIMEOUT"),
    *("PGSSLMODE", "PGREQUIRESSL", "PGSSLNEGOTIATION", "PGSSLCOMPRESSION", "PGSSLCERT", "PGSSLKEY", "PGSSLCERTMODE"),
    *("PGSSLROOTCERT", "PGSSLCRL", "PGSSLCRLDIR", "PGSSLSNI", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION"),
    *("PGCHANNELBINDING", "PGREQUIREAUTH", "PGREQUIREPEER", "PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION"),
    *("PGGSSENCMODE", "PGKRBSRVNAME", "PGGSSLIB", "PGGSSDELEGATION", "PGREALM"),
    *("PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS"),
)


def ignore_variables() -> None:
    """Remove the ignored variables from the environment of this process and of those that it starts.

    An empty parameter would not do: the library takes it for one that is missing, or refuses it.
    """
    for name in IGNORED:
        os.environ.pop(name, None)
