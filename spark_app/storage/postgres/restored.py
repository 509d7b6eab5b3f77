"""What a restored database needs beyond its dump: statements for the end of the transaction that restores it."""

from __future__ import annotations

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
