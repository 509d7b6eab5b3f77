-- What was traded to get from the portfolio of the previous as-of date to this one, as a fraction: sum of |weight - previous
-- weight| / 2, where an empty portfolio is all cash. So a first purchase is 1, and so is selling everything.
-- A date without any position has a row, too. The run log knows such dates; it may keep dates whose results retention
-- removed, so it counts from the first date with trends on.
CREATE VIEW analytics_portfolio_turnover AS
WITH dates AS (
    SELECT as_of_date, lag(as_of_date) OVER (ORDER BY as_of_date) AS previous_date
    FROM (
        SELECT as_of_date FROM analytics_portfolio_allocation
        UNION
        SELECT as_of_date FROM analytics_portfolio_exclusion
        UNION
        SELECT as_of_date FROM logs_pipeline_run
        WHERE stage = 'stage5_portfolio_allocation' AND status = 'ok'
          AND as_of_date >= coalesce((SELECT min(as_of_date) FROM analytics_trending_sectors), '-infinity')
    ) AS allocated
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
