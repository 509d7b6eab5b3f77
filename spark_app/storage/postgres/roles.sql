-- The roles and their rights. `db roles` runs this, and so does each later migration, for the rights on new tables.
-- Four group roles without login. Roles belong to the whole server, rights to this database. A rerun changes nothing, or
-- reverts what was changed by hand. Each right names the code that needs it.

-- The lock of migrate.py: not at the same time as a migration or another set-up of the roles.
SELECT pg_advisory_xact_lock(7236409182);
-- Changing the owner of a table waits for runs that use it, and other runs must not wait behind it for long.
SET LOCAL lock_timeout = '60s';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['spark_app_owner', 'spark_app_pipeline', 'spark_app_retention', 'spark_app_reader'] LOOP
        IF to_regrole(name) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN NULL; -- Created for another database at the same moment.
            END;
            -- A user who is no superuser must be able to change the tables' owner.
            IF name = 'spark_app_owner' THEN
                GRANT spark_app_owner TO CURRENT_USER;
            END IF;
        END IF;
    END LOOP;
    -- PostgreSQL only warns if a GRANT has no effect.
    IF NOT pg_has_role('spark_app_owner', 'MEMBER') THEN
        RAISE insufficient_privilege USING MESSAGE = format('%s is no member of spark_app_owner', current_user);
    END IF;
END
$$;

-- The database and the schemas. PUBLIC is every user who can connect.
DO $$
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO spark_app_owner, spark_app_pipeline, spark_app_retention, spark_app_reader',
        current_database()
    );
    EXECUTE format('GRANT CREATE ON DATABASE %I TO spark_app_owner', current_database()); -- A migration may add a schema.
END
$$;
-- The default since PostgreSQL 15, but not in databases created before.
REVOKE CREATE ON SCHEMA public FROM PUBLIC, spark_app_pipeline, spark_app_retention, spark_app_reader;
GRANT USAGE, CREATE ON SCHEMA public TO spark_app_owner;
GRANT USAGE ON SCHEMA public TO spark_app_pipeline, spark_app_retention, spark_app_reader;

-- The owner: migrations. It owns all tables; the other roles may only read them, but for what follows.
DO $$
DECLARE
    name text;
BEGIN
    IF (SELECT nspowner <> 'spark_app_owner'::regrole FROM pg_namespace WHERE nspname = 'loading') THEN
        ALTER SCHEMA loading OWNER TO spark_app_owner;
    END IF;
    FOREACH name IN ARRAY ARRAY[
        'schema_migrations',
        'collected_daily_etf_ohlc', 'collected_daily_benchmark_ohlc', 'collected_meta_etf',
        'collected_daily_stock_history',
        'analytics_trending_sectors', 'analytics_portfolio_allocation', 'analytics_portfolio_exclusion',
        'analytics_portfolio_changes', 'analytics_portfolio_turnover',
        'analytics_backtest_run', 'analytics_backtest_summary', 'analytics_backtest_equity',
        'analytics_backtest_rebalance', 'analytics_backtest_position', 'analytics_backtest_ledger',
        'logs_pipeline_run', 'logs_consumer_error', 'logs_data_origin', 'logs_fetch_throttle', 'logs_fetch_stop',
        'logs_topic_outbox', 'logs_fetch', 'logs_price_restatement', 'logs_publication'
    ] LOOP
        IF (SELECT relowner <> 'spark_app_owner'::regrole FROM pg_class WHERE oid = format('public.%I', name)::regclass) THEN
            EXECUTE format('ALTER TABLE public.%I OWNER TO spark_app_owner', name);
        END IF;
        EXECUTE format(
            'REVOKE ALL ON public.%I FROM PUBLIC, spark_app_pipeline, spark_app_retention, spark_app_reader', name
        );
        EXECUTE format(
            'GRANT SELECT ON public.%I TO spark_app_pipeline, spark_app_retention, spark_app_reader', name
        );
    END LOOP;
END
$$;

-- The functions of triggers and views, which a restore replaces. They may still belong to the login user that migrated the
-- database; another one cannot give them away.
DO $$
DECLARE
    ours regprocedure;
BEGIN
    FOR ours IN SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        AND proname IN ('forget_publications', 'portfolio_runs', 'portfolio_dates')
        AND proowner <> 'spark_app_owner'::regrole AND pg_has_role(proowner, 'USAGE')
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO spark_app_owner', ours);
    END LOOP;
END
$$;

-- The pipeline. Merging results (publishing/publish.py); there is no DELETE on prices.
GRANT INSERT, UPDATE ON
    collected_daily_etf_ohlc, collected_daily_benchmark_ohlc, collected_meta_etf, collected_daily_stock_history,
    analytics_trending_sectors, analytics_portfolio_allocation, analytics_portfolio_exclusion,
    analytics_backtest_run, analytics_backtest_summary, analytics_backtest_equity, analytics_backtest_rebalance,
    analytics_backtest_position, analytics_backtest_ledger
TO spark_app_pipeline;
-- Stale rows: those of a set that a rerun no longer produces (`RowSet` in publishing/publication.py).
GRANT DELETE ON
    collected_meta_etf, analytics_trending_sectors, analytics_portfolio_allocation, analytics_portfolio_exclusion,
    analytics_backtest_summary, analytics_backtest_equity, analytics_backtest_rebalance, analytics_backtest_position
TO spark_app_pipeline;
-- Its own loading tables (publishing/loading.py).
REVOKE ALL ON SCHEMA loading FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA loading TO spark_app_pipeline;
-- The run log, rejected data, and the kind of data (run_log.py).
GRANT INSERT, UPDATE ON logs_pipeline_run TO spark_app_pipeline;
GRANT INSERT ON logs_consumer_error, logs_data_origin TO spark_app_pipeline;
-- What was fetched and restated (provenance.py).
GRANT INSERT ON logs_fetch, logs_price_restatement TO spark_app_pipeline;
-- What was published last (publishing/unchanged.py).
GRANT INSERT, UPDATE ON logs_publication TO spark_app_pipeline;
-- The throttle, whose rows exist from the start, and requests to stop (throttle.py).
GRANT UPDATE ON logs_fetch_throttle TO spark_app_pipeline;
GRANT INSERT, DELETE ON logs_fetch_stop TO spark_app_pipeline;
-- Pending messages for Kafka (outbox.py).
GRANT INSERT, DELETE ON logs_topic_outbox TO spark_app_pipeline;

-- Retention. PostgreSQL has no right for old rows only: the job decides which ones to delete.
GRANT DELETE ON
    collected_daily_etf_ohlc, collected_daily_benchmark_ohlc, collected_meta_etf, collected_daily_stock_history,
    logs_consumer_error
TO spark_app_retention;
