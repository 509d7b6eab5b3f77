"""What a restored database needs beyond its dump: statements for the end of the transaction that restores it."""

from __future__ import annotations

import psycopg

from spark_app.storage.postgres.migrate import migrations
from spark_app.storage.postgres.roles import read_roles_script

# Ids begin at the microsecond again (0005_topic_outbox.sql), because consumers skip those that are not above the ones
# before. What was pending when the dump was made may be older than what consumers have.
NEW_MESSAGE_IDS = """
DO $$
BEGIN
    IF to_regclass('public.logs_topic_outbox') IS NOT NULL THEN
        DELETE FROM public.logs_topic_outbox;
        PERFORM setval(ids, greatest(
            pg_sequence_last_value(ids), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
        )) FROM (SELECT pg_get_serial_sequence('public.logs_topic_outbox', 'id')::regclass AS ids) AS outbox;
    END IF;
END
$$;
"""
_HAS_ROLES = """
SELECT FROM pg_roles WHERE rolname = 'spark_app_owner' AND pg_has_role(oid, 'MEMBER')
AND has_database_privilege(oid, current_database(), 'CREATE')
"""
# pg_restore leaves an empty search path. An earlier schema lacks some tables: the migration that adds them grants all
# rights, if this table belongs to the owner.
_RIGHTS = """
SET LOCAL search_path = public;
DO $restored$
BEGIN
    IF ARRAY(SELECT version FROM schema_migrations ORDER BY version) = ARRAY{versions} THEN
        EXECUTE $roles${script}$roles$;
    ELSE
        ALTER TABLE schema_migrations OWNER TO spark_app_owner;
    END IF;
END
$restored$;
"""


def renewed_rights(connection: psycopg.Connection) -> str:
    """Return the statements that grant the roles' rights on restored tables; "" where this database has no roles."""
    if connection.execute(_HAS_ROLES).fetchone() is None:
        return ""
    versions = [migration.version for migration in migrations()]
    return _RIGHTS.format(versions=versions, script=read_roles_script())
