-- What each stage published last, for as long as the table stays as that left it. Whatever changes a served table, by
-- whoever's hand, forgets its rows here; a run that computes the same again then need not send it.
CREATE TABLE logs_publication (
    table_name   text NOT NULL,
    stage        text NOT NULL,
    as_of_date   date NOT NULL,
    run_id       text NOT NULL,
    checksum     text NOT NULL,
    row_count    bigint NOT NULL CHECK (row_count >= 0),
    PRIMARY KEY (table_name, stage, as_of_date)
);

-- Before each change, and behind the lock of merges (publish.py): a merge that waits for it sees the change, and one that
-- it waits for has written its rows above. With the rights of its owner, for retention and users of the database may not
-- write the table above themselves.
-- A dump of an earlier version that replaces this schema leaves the function behind.
CREATE OR REPLACE FUNCTION forget_publications() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('merge ' || TG_TABLE_NAME, 0));
    DELETE FROM logs_publication WHERE table_name = TG_TABLE_NAME;
    RETURN NULL;
END
$$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'collected_daily_etf_ohlc', 'collected_daily_benchmark_ohlc', 'collected_meta_etf',
        'collected_daily_stock_history',
        'analytics_trending_sectors', 'analytics_portfolio_allocation', 'analytics_portfolio_exclusion'
    ] LOOP
        EXECUTE format(
            'CREATE TRIGGER forget_publications BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %I'
            ' FOR EACH STATEMENT EXECUTE FUNCTION forget_publications()', name
        );
    END LOOP;
END
$$;
