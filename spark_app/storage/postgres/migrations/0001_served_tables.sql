-- NUMERIC takes NaN, which sorts above every number, infinity included: so each number has an upper bound.

CREATE TABLE collected_daily_etf_ohlc (
    ticker               text NOT NULL,
    trade_date           date NOT NULL,
    open_price           numeric(18, 6) NOT NULL CHECK (open_price > 0 AND open_price < 'Infinity'),
    high_price           numeric(18, 6) NOT NULL CHECK (high_price > 0 AND high_price < 'Infinity'),
    low_price            numeric(18, 6) NOT NULL CHECK (low_price > 0 AND low_price < 'Infinity'),
    close_price          numeric(18, 6) NOT NULL CHECK (close_price > 0 AND close_price < 'Infinity'),
    adj_close_price      numeric(18, 6) NOT NULL CHECK (adj_close_price > 0 AND adj_close_price < 'Infinity'),
    volume               bigint NOT NULL CHECK (volume >= 0),
    dividend             numeric(18, 6) NOT NULL CHECK (dividend >= 0 AND dividend < 'Infinity'),
    split_ratio          numeric(18, 6) NOT NULL CHECK (split_ratio > 0 AND split_ratio < 'Infinity'),
    price_change_percent numeric(14, 6) CHECK (price_change_percent < 'Infinity'),
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
    holding_percent  numeric(9, 6) NOT NULL CHECK (holding_percent < 'Infinity'),
    holding_rank     integer NOT NULL CHECK (holding_rank > 0),
    coverage_percent numeric(9, 6) NOT NULL CHECK (coverage_percent < 'Infinity'),
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
    open_price           numeric(18, 6) NOT NULL CHECK (open_price > 0 AND open_price < 'Infinity'),
    high_price           numeric(18, 6) NOT NULL CHECK (high_price > 0 AND high_price < 'Infinity'),
    low_price            numeric(18, 6) NOT NULL CHECK (low_price > 0 AND low_price < 'Infinity'),
    close_price          numeric(18, 6) NOT NULL CHECK (close_price > 0 AND close_price < 'Infinity'),
    adj_close_price      numeric(18, 6) NOT NULL CHECK (adj_close_price > 0 AND adj_close_price < 'Infinity'),
    volume               bigint NOT NULL CHECK (volume >= 0),
    dividend             numeric(18, 6) NOT NULL CHECK (dividend >= 0 AND dividend < 'Infinity'),
    split_ratio          numeric(18, 6) NOT NULL CHECK (split_ratio > 0 AND split_ratio < 'Infinity'),
    price_change_percent numeric(14, 6) CHECK (price_change_percent < 'Infinity'),
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
    return_pct           numeric(14, 6) CHECK (return_pct < 'Infinity'),
    benchmark_return_pct numeric(14, 6) CHECK (benchmark_return_pct < 'Infinity'),
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
    return_5d         numeric(14, 6) CHECK (return_5d < 'Infinity'),
    sector_avg_5d     numeric(14, 6) CHECK (sector_avg_5d < 'Infinity'),
    is_trending_5d    boolean NOT NULL,
    rank_5d           integer CHECK (rank_5d > 0),
    return_10d        numeric(14, 6) CHECK (return_10d < 'Infinity'),
    sector_avg_10d    numeric(14, 6) CHECK (sector_avg_10d < 'Infinity'),
    is_trending_10d   boolean NOT NULL,
    rank_10d          integer CHECK (rank_10d > 0),
    return_20d        numeric(14, 6) CHECK (return_20d < 'Infinity'),
    sector_avg_20d    numeric(14, 6) CHECK (sector_avg_20d < 'Infinity'),
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
