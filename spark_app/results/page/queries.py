"""The SQL of the page; every statement only reads."""

AS_OF_DATES = "SELECT DISTINCT as_of_date FROM analytics_trending_sectors ORDER BY 1"
ORIGIN = "SELECT origin FROM logs_data_origin"
PORTFOLIO_RUN = """
SELECT (options ->> 'basis_sessions')::integer AS basis_sessions, (options ->> 'max_weight')::numeric AS max_weight
FROM portfolio_runs() WHERE as_of_date = %(as_of)s
"""
TRENDS = """
SELECT etf_ticker, sector_name, period_days, return_pct, benchmark_return_pct, is_trending, rank, unavailable_reason
FROM analytics_trending_sectors WHERE as_of_date = %(as_of)s ORDER BY etf_ticker, period_days
"""
# The previous portfolio is what the page compares with; without one it is the previous date with trends.
COMPARED = """
SELECT coalesce(%(previous)s, max(as_of_date)) FROM analytics_trending_sectors WHERE as_of_date < %(as_of)s
"""
TURNED = """
SELECT now.etf_ticker, now.is_trending
FROM analytics_trending_sectors AS now
JOIN analytics_trending_sectors AS before USING (etf_ticker, period_days)
WHERE now.as_of_date = %(as_of)s AND period_days = %(basis)s AND now.is_trending <> before.is_trending
  AND before.as_of_date = %(compared)s
ORDER BY 1
"""
TURNOVER = "SELECT previous_date, turnover FROM analytics_portfolio_turnover WHERE as_of_date = %(as_of)s"
POSITIONS = """
SELECT position.ticker, position.company_name, position.sector, position.market_cap, position.market_cap_basis,
       position.return_5d, position.return_10d, position.return_20d,
       position.sector_avg_5d, position.sector_avg_10d, position.sector_avg_20d,
       position.portfolio_weight AS weight, coalesce(before.portfolio_weight, 0) AS weight_before,
       position.allocation_reason, position.is_max_weight_exceeded,
       position.holdings_date, position.quote_date, position.is_look_ahead
FROM analytics_portfolio_allocation AS position
LEFT JOIN analytics_portfolio_allocation AS before
       ON before.ticker = position.ticker AND before.as_of_date = %(previous)s
WHERE position.as_of_date = %(as_of)s
ORDER BY position.portfolio_weight DESC, position.ticker
"""
DEPARTURES = """
SELECT before.ticker, before.portfolio_weight AS weight_before, excluded.reason
FROM analytics_portfolio_allocation AS before
LEFT JOIN analytics_portfolio_exclusion AS excluded
       ON excluded.ticker = before.ticker AND excluded.as_of_date = %(as_of)s
WHERE before.as_of_date = %(previous)s AND NOT EXISTS (
    SELECT FROM analytics_portfolio_allocation AS now
    WHERE now.as_of_date = %(as_of)s AND now.ticker = before.ticker)
ORDER BY before.portfolio_weight DESC, before.ticker
"""
EXCLUSIONS = """
SELECT ticker, sector, reason, detail FROM analytics_portfolio_exclusion
WHERE as_of_date = %(as_of)s ORDER BY reason, sector, ticker
"""
PRICES = """
SELECT ticker, trade_date, adj_close_price FROM collected_daily_etf_ohlc
WHERE ticker = ANY (%(funds)s) AND trade_date BETWEEN %(first)s AND %(as_of)s ORDER BY trade_date, ticker
"""
FUND_PRICES = """
SELECT min(trade_date) AS first_date, max(trade_date) AS newest_date, count(DISTINCT trade_date) AS dates,
       count(*) FILTER (WHERE trade_date = newest) AS present, max(fetched_at) AS fetched_at
FROM {table}, (SELECT max(trade_date) AS newest FROM {table} WHERE trade_date <= %(as_of)s) AS last
WHERE trade_date <= %(as_of)s AND ticker = ANY (%(tickers)s)
"""
STOCK_PRICES = """
SELECT min(trade_date) AS first_date, max(trade_date) AS newest_date, count(DISTINCT trade_date) AS dates,
       count(*) FILTER (WHERE trade_date = newest) AS present,
       count(DISTINCT ticker) FILTER (WHERE trade_date >= %(recent)s) AS expected, max(fetched_at) AS fetched_at
FROM collected_daily_stock_history,
     (SELECT max(trade_date) AS newest FROM collected_daily_stock_history WHERE trade_date <= %(as_of)s) AS last
WHERE trade_date <= %(as_of)s
"""
HOLDINGS = """
SELECT min(as_of_date) AS first_date, max(as_of_date) AS newest_date, count(DISTINCT as_of_date) AS dates,
       count(DISTINCT etf_ticker) AS present, max(fetched_at) AS fetched_at
FROM collected_meta_etf WHERE as_of_date <= %(as_of)s AND etf_ticker = ANY (%(tickers)s)
"""
TREND_ROWS = """
SELECT min(as_of_date) AS first_date, max(as_of_date) AS newest_date, count(DISTINCT as_of_date) AS dates,
       count(return_pct) FILTER (WHERE as_of_date = %(as_of)s) AS present,
       count(*) FILTER (WHERE as_of_date = %(as_of)s) AS expected, NULL::timestamptz AS fetched_at
FROM analytics_trending_sectors WHERE as_of_date <= %(as_of)s
"""
# The snapshots of which membership may be read on a date without an earlier one.
LOOK_AHEAD_SNAPSHOTS = """
SELECT etf_ticker, min(as_of_date) FROM collected_meta_etf
GROUP BY etf_ticker HAVING min(as_of_date) > %(as_of)s ORDER BY 1
"""
FUNDS_WITH_HOLDINGS = "SELECT DISTINCT etf_ticker FROM collected_meta_etf ORDER BY 1"
RUNS = """
SELECT DISTINCT ON (stage) stage, as_of_date, status, started_at, finished_at, requests, rows_inserted, rows_updated,
       rows_removed, rows_rejected, restated_bars, outliers, message
FROM logs_pipeline_run ORDER BY stage, started_at DESC
"""
REJECTED = """
SELECT received_at, stage, error_msg FROM logs_consumer_error
WHERE received_at > %(since)s ORDER BY received_at DESC, id DESC LIMIT %(limit)s
"""
REJECTED_COUNT = "SELECT count(*) FROM logs_consumer_error WHERE received_at > %(since)s"
RESTATEMENTS = """
SELECT ticker, kind, ratio, rows_restated, first_trade_date, last_trade_date, noticed_at, stage
FROM logs_price_restatement WHERE noticed_at > %(since)s ORDER BY noticed_at DESC, ticker LIMIT %(limit)s
"""
RESTATED_COUNT = "SELECT count(*) FROM logs_price_restatement WHERE noticed_at > %(since)s"
FETCHES = """
SELECT kind, source, outcome, count(*) AS answers, sum(requests) AS requests, max(fetched_at) AS fetched_at
FROM logs_fetch WHERE fetched_at > %(since)s GROUP BY kind, source, outcome ORDER BY kind, source, outcome
"""
# A run of several stages has a row of each: the one of the stage that the table belongs to, else of the job.
ORIGINS = """
WITH served AS (
    SELECT 'collected_daily_etf_ohlc' AS table_name, 'stage1_etf_ohlc' AS stage, run_id, count(*) AS rows
    FROM collected_daily_etf_ohlc WHERE trade_date = %(as_of)s GROUP BY run_id
    UNION ALL
    SELECT 'collected_meta_etf', 'stage2_etf_holdings', run_id, count(*) FROM collected_meta_etf
    WHERE as_of_date = (SELECT max(as_of_date) FROM collected_meta_etf WHERE as_of_date <= %(as_of)s) GROUP BY run_id
    UNION ALL
    SELECT 'collected_daily_stock_history', 'stage4_stock_history', run_id, count(*)
    FROM collected_daily_stock_history WHERE trade_date = %(as_of)s GROUP BY run_id
    UNION ALL
    SELECT 'analytics_trending_sectors', 'stage3_trending_sectors', run_id, count(*)
    FROM analytics_trending_sectors WHERE as_of_date = %(as_of)s GROUP BY run_id
    UNION ALL
    SELECT 'analytics_portfolio_allocation', 'stage5_portfolio_allocation', run_id, count(*)
    FROM analytics_portfolio_allocation WHERE as_of_date = %(as_of)s GROUP BY run_id
    UNION ALL
    SELECT 'analytics_portfolio_exclusion', 'stage5_portfolio_allocation', run_id, count(*)
    FROM analytics_portfolio_exclusion WHERE as_of_date = %(as_of)s GROUP BY run_id
)
SELECT served.table_name, served.rows, served.run_id, run.stage, run.finished_at, run.code_version, run.host,
       coalesce(run.settings, '{}') AS settings, coalesce(run.inputs, '{}') AS inputs
FROM served LEFT JOIN LATERAL (
    SELECT * FROM logs_pipeline_run WHERE logs_pipeline_run.run_id = served.run_id
    ORDER BY (logs_pipeline_run.stage = served.stage) DESC, finished_at DESC NULLS LAST LIMIT 1
) AS run ON true
ORDER BY served.table_name COLLATE "C", served.rows DESC, served.run_id
"""
