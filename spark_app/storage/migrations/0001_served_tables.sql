-- Types with the stored precision. NUMERIC takes NaN, which sorts above every number, infinity included.
CREATE DOMAIN price AS numeric(18, 6) CHECK (VALUE > 0 AND VALUE < 'Infinity');
CREATE DOMAIN percent_change AS numeric(14, 6) CHECK (VALUE < 'Infinity');
CREATE DOMAIN weight_percent AS numeric(9, 6) CHECK (VALUE < 'Infinity');

CREATE TABLE collected_daily_etf_ohlc (
    ticker               text NOT NULL,
    trade_date           date NOT NULL,
    open_price           price NOT NULL,
    high_price           price NOT NULL,
    low_price            price NOT NULL,
    close_price          price NOT NULL,
    adj_close_price      price NOT NULL,
    volume               bigint NOT NULL CHECK (volume >= 0),
    dividend             numeric(18, 6) NOT NULL CHECK (dividend >= 0 AND dividend < 'Infinity'),
    split_ratio          price NOT NULL,
    price_change_percent percent_change,
    fetched_at           timestamptz NOT NULL,
    run_id               text NOT NULL,
    PRIMARY KEY (ticker, trade_date),
    CHECK (high_price >= low_price)
);

CREATE TABLE collected_daily_benchmark_ohlc (LIKE collected_daily_etf_ohlc INCLUDING ALL);

CREATE TABLE collected_meta_etf (
    etf_ticker       text NOT NULL,
    holding_ticker   text NOT NULL,
    as_of_date       date NOT NULL,
    etf_type         text NOT NULL CHECK (etf_type IN ('benchmark', 'sector')),
    sector_name      text,
    holding_name     text,
    holding_percent  weight_percent NOT NULL,
    holding_rank     integer NOT NULL CHECK (holding_rank > 0),
    coverage_percent weight_percent NOT NULL,
    source           text NOT NULL,
    fetched_at       timestamptz NOT NULL,
    run_id           text NOT NULL,
    PRIMARY KEY (etf_ticker, holding_ticker, as_of_date)
);

CREATE TABLE collected_daily_stock_history (
    ticker               text NOT NULL,
    trade_date           date NOT NULL,
    company_name         text,
    sector               text,
    open_price           price NOT NULL,
    high_price           price NOT NULL,
    low_price            price NOT NULL,
    close_price          price NOT NULL,
    adj_close_price      price NOT NULL,
    volume               bigint NOT NULL CHECK (volume >= 0),
    dividend             numeric(18, 6) NOT NULL CHECK (dividend >= 0 AND dividend < 'Infinity'),
    split_ratio          price NOT NULL,
    price_change_percent percent_change,
    market_cap           bigint CHECK (market_cap > 0),
    fetched_at           timestamptz NOT NULL,
    run_id               text NOT NULL,
    PRIMARY KEY (ticker, trade_date),
    CHECK (high_price >= low_price)
);

-- period_days counts sessions.
CREATE TABLE analytics_trending_sectors (
    as_of_date           date NOT NULL,
    etf_ticker           text NOT NULL,
    period_days          integer NOT NULL CHECK (period_days > 0),
    sector_name          text NOT NULL,
    return_pct           percent_change,
    benchmark_return_pct percent_change,
    is_trending          boolean NOT NULL,
    rank                 integer CHECK (rank > 0),
    unavailable_reason   text,
    run_id               text NOT NULL,
    PRIMARY KEY (as_of_date, etf_ticker, period_days),
    CHECK ((return_pct IS NULL) = (rank IS NULL)),
    CHECK ((return_pct IS NULL) = (unavailable_reason IS NOT NULL)),
    CHECK (NOT is_trending OR (return_pct > 0 AND return_pct > benchmark_return_pct))
);

-- sector_avg_* is the return of the sector's fund.
CREATE TABLE analytics_portfolio_allocation (
    as_of_date        date NOT NULL,
    ticker            text NOT NULL,
    company_name      text,
    sector            text NOT NULL,
    market_cap        bigint NOT NULL CHECK (market_cap > 0),
    market_cap_basis  text NOT NULL CHECK (market_cap_basis IN ('quoted', 'later_quote')),
    return_5d         percent_change,
    sector_avg_5d     percent_change,
    is_trending_5d    boolean NOT NULL,
    rank_5d           integer CHECK (rank_5d > 0),
    return_10d        percent_change,
    sector_avg_10d    percent_change,
    is_trending_10d   boolean NOT NULL,
    rank_10d          integer CHECK (rank_10d > 0),
    return_20d        percent_change,
    sector_avg_20d    percent_change,
    is_trending_20d   boolean NOT NULL,
    rank_20d          integer CHECK (rank_20d > 0),
    portfolio_weight  numeric(9, 8) NOT NULL CHECK (portfolio_weight >= 0 AND portfolio_weight <= 1),
    allocation_reason text NOT NULL,
    run_id            text NOT NULL,
    PRIMARY KEY (as_of_date, ticker)
);

CREATE TABLE analytics_portfolio_exclusion (
    as_of_date date NOT NULL,
    ticker     text NOT NULL,
    sector     text NOT NULL,
    reason     text NOT NULL CHECK (
        reason IN ('missing_bars', 'not_trending', 'no_market_cap', 'duplicate_issuer', 'below_top_n')
    ),
    detail     text NOT NULL,
    run_id     text NOT NULL,
    PRIMARY KEY (as_of_date, ticker)
);

-- What changes from one as-of date to the next; a date without positions counts as a date.
CREATE VIEW analytics_portfolio_changes AS
WITH dates AS (
    SELECT as_of_date, lag(as_of_date) OVER (ORDER BY as_of_date) AS previous_date
    FROM (SELECT DISTINCT as_of_date FROM analytics_trending_sectors) AS answered
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
