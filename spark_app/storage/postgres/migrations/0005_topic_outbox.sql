-- Messages about committed rows that Kafka has not acknowledged yet; row_value is null where the row was removed.
CREATE TABLE logs_topic_outbox (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic          text NOT NULL,
    schema_version integer NOT NULL,
    table_name     text NOT NULL,
    row_key        json NOT NULL,
    row_value      json,
    stage          text NOT NULL,
    run_id         text NOT NULL,
    as_of_date     date NOT NULL,
    owed_since     timestamptz NOT NULL DEFAULT now()
);

-- From the microsecond of its birth on: so a database in the place of a lost one counts on, far above the old ids.
SELECT setval(
    pg_get_serial_sequence('logs_topic_outbox', 'id'), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
);
