-- A date with positions has a portfolio, also where the run log does not know it: after a replay of the topic, or of a
-- date that was only republished. Dates without any position are known from the run log alone.
CREATE OR REPLACE VIEW analytics_portfolio_changes AS
WITH dates AS (
    SELECT as_of_date, lag(as_of_date) OVER (ORDER BY as_of_date) AS previous_date
    FROM (
        SELECT as_of_date FROM analytics_portfolio_allocation
        UNION
        SELECT as_of_date FROM logs_pipeline_run WHERE stage = 'stage5_portfolio_allocation' AND status = 'ok'
    ) AS allocated
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
