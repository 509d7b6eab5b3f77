-- The run whose portfolio of each date is served: the last one that ended well and computed it. `republish` logs one row for
-- all of its dates and lists them in its inputs; runs of versions that did not are known by the rows that they changed.
-- A function, for a restore by earlier code drops one view after the other: no view may depend on another.
CREATE OR REPLACE FUNCTION portfolio_runs() RETURNS TABLE (
    as_of_date date, run_id text, stage text, started_at timestamptz, finished_at timestamptz, options jsonb
)
LANGUAGE sql STABLE AS $$
WITH computed AS (
    SELECT run.as_of_date, run.run_id, run.stage FROM public.logs_pipeline_run AS run
    WHERE run.stage = 'stage5_portfolio_allocation'
    UNION
    SELECT portfolio.as_of_date::date, run.run_id, run.stage
    FROM public.logs_pipeline_run AS run,
         jsonb_array_elements_text(run.inputs -> 'portfolio_dates') AS portfolio (as_of_date)
    WHERE run.stage = 'republish'
    UNION
    SELECT decided.as_of_date, run.run_id, run.stage
    FROM (
        SELECT position.as_of_date, position.run_id FROM public.analytics_portfolio_allocation AS position
        UNION
        SELECT excluded.as_of_date, excluded.run_id FROM public.analytics_portfolio_exclusion AS excluded
    ) AS decided JOIN public.logs_pipeline_run AS run ON run.run_id = decided.run_id
    WHERE run.stage IN ('stage5_portfolio_allocation', 'republish')
)
SELECT DISTINCT ON (computed.as_of_date) computed.as_of_date, run.run_id, run.stage, run.started_at, run.finished_at,
       run.parameters || coalesce(run.settings -> 'portfolio', '{}')
FROM computed JOIN public.logs_pipeline_run AS run ON run.run_id = computed.run_id AND run.stage = computed.stage
WHERE run.status = 'ok'
ORDER BY computed.as_of_date, run.finished_at DESC
$$;

-- The dates with a portfolio, also of one without any position, each with the one before it. Of rows that a replay of the
-- topic brought no run is logged. The log may keep dates whose results retention removed, so it counts from the first date
-- with trends on. With its owner's rights, as a view reads its tables: who may read the views need not read the tables.
CREATE OR REPLACE FUNCTION portfolio_dates() RETURNS TABLE (as_of_date date, previous_date date)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
SELECT portfolio.as_of_date, lag(portfolio.as_of_date) OVER (ORDER BY portfolio.as_of_date)
FROM (
    SELECT position.as_of_date FROM public.analytics_portfolio_allocation AS position
    UNION
    SELECT excluded.as_of_date FROM public.analytics_portfolio_exclusion AS excluded
    UNION
    SELECT run.as_of_date FROM public.portfolio_runs() AS run
    WHERE run.as_of_date >= coalesce(
        (SELECT min(trend.as_of_date) FROM public.analytics_trending_sectors AS trend), '-infinity'
    )
) AS portfolio
$$;

CREATE OR REPLACE VIEW analytics_portfolio_turnover AS
WITH dates AS (
    SELECT as_of_date, previous_date FROM portfolio_dates()
), sides AS (
    SELECT dates.as_of_date, position.ticker, position.portfolio_weight AS weight_change
    FROM dates JOIN analytics_portfolio_allocation AS position ON position.as_of_date = dates.as_of_date
    UNION ALL
    SELECT dates.as_of_date, position.ticker, -position.portfolio_weight
    FROM dates JOIN analytics_portfolio_allocation AS position ON position.as_of_date = dates.previous_date
), changes AS (
    SELECT as_of_date, ticker, sum(weight_change) AS weight_change FROM sides GROUP BY as_of_date, ticker
)
SELECT dates.as_of_date, dates.previous_date,
       coalesce(greatest(sum(weight_change) FILTER (WHERE weight_change > 0),
                         -sum(weight_change) FILTER (WHERE weight_change < 0)), 0) AS turnover
FROM dates LEFT JOIN changes ON changes.as_of_date = dates.as_of_date
GROUP BY dates.as_of_date, dates.previous_date;

CREATE OR REPLACE VIEW analytics_portfolio_changes AS
WITH dates AS (
    SELECT as_of_date, previous_date FROM portfolio_dates()
), sides AS (
    SELECT dates.as_of_date, dates.previous_date, position.ticker, 0::numeric AS weight_before,
           position.portfolio_weight AS weight_after
    FROM dates JOIN analytics_portfolio_allocation AS position ON position.as_of_date = dates.as_of_date
    UNION ALL
    SELECT dates.as_of_date, dates.previous_date, position.ticker, position.portfolio_weight, 0
    FROM dates JOIN analytics_portfolio_allocation AS position ON position.as_of_date = dates.previous_date
), changes AS (
    SELECT as_of_date, previous_date, ticker, sum(weight_before) AS weight_before, sum(weight_after) AS weight_after
    FROM sides GROUP BY as_of_date, previous_date, ticker
)
SELECT as_of_date, previous_date, ticker, weight_before, weight_after,
       weight_after - weight_before AS weight_change,
       sum(abs(weight_after - weight_before)) OVER (PARTITION BY as_of_date) / 2 AS turnover
FROM changes;
