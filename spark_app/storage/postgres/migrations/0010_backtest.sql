-- Backtests. The key is a hash of the parameters, so that a rerun replaces what it found before. Values begin with 1.
CREATE TABLE analytics_backtest_run (
    backtest_id   text PRIMARY KEY,
    computed_date date NOT NULL,
    first_date    date NOT NULL, -- The session where the value is 1.
    last_date     date NOT NULL,
    is_attainable boolean NOT NULL, -- Nobody can trade at the close that a signal comes from.
    parameters    text NOT NULL, -- JSON.
    run_id        text NOT NULL
);

CREATE TABLE analytics_backtest_summary (
    backtest_id                   text NOT NULL REFERENCES analytics_backtest_run ON DELETE CASCADE,
    series                        text NOT NULL CHECK (series IN ('strategy', 'equal_weight', 'benchmark')),
    final_value                   numeric(28, 12) NOT NULL CHECK (final_value >= 0),
    cagr_pct                      numeric(14, 6),
    gross_cagr_pct                numeric(14, 6), -- Without costs.
    volatility_pct                numeric(14, 6),
    sharpe_ratio                  numeric(14, 6),
    sortino_ratio                 numeric(14, 6),
    max_drawdown_pct              numeric(14, 6) CHECK (max_drawdown_pct BETWEEN -100 AND 0),
    peak_date                     date,
    trough_date                   date,
    recovery_date                 date,
    beta                          numeric(14, 6),
    alpha_pct                     numeric(14, 6),
    information_ratio             numeric(14, 6),
    value_at_risk_pct             numeric(14, 6),
    conditional_value_at_risk_pct numeric(14, 6),
    hit_rate_pct                  numeric(14, 6),
    yearly_turnover               numeric(14, 6), -- 1 is the whole portfolio.
    break_even_bps                numeric(14, 6), -- The cost at which the strategy ends as this series does.
    run_id                        text NOT NULL,
    PRIMARY KEY (backtest_id, series)
);

CREATE TABLE analytics_backtest_equity (
    backtest_id     text NOT NULL REFERENCES analytics_backtest_run ON DELETE CASCADE,
    series          text NOT NULL CHECK (series IN ('strategy', 'equal_weight', 'benchmark')),
    trade_date      date NOT NULL,
    portfolio_value numeric(28, 12) NOT NULL CHECK (portfolio_value >= 0),
    drawdown_pct    numeric(14, 6) NOT NULL CHECK (drawdown_pct BETWEEN -100 AND 0),
    run_id          text NOT NULL,
    PRIMARY KEY (backtest_id, series, trade_date)
);

CREATE TABLE analytics_backtest_rebalance (
    backtest_id    text NOT NULL REFERENCES analytics_backtest_run ON DELETE CASCADE,
    series         text NOT NULL CHECK (series IN ('strategy', 'equal_weight', 'benchmark')),
    as_of_date     date NOT NULL, -- The session of the signal.
    trade_date     date NOT NULL CHECK (trade_date >= as_of_date),
    turnover       numeric(14, 8) NOT NULL CHECK (turnover >= 0),
    cost_pct       numeric(14, 8) NOT NULL CHECK (cost_pct >= 0), -- Of the value before the trade.
    run_id         text NOT NULL,
    PRIMARY KEY (backtest_id, series, as_of_date)
);

-- The targets of the strategy; what is missing to 1 is cash.
CREATE TABLE analytics_backtest_position (
    backtest_id   text NOT NULL REFERENCES analytics_backtest_run ON DELETE CASCADE,
    as_of_date    date NOT NULL,
    ticker        text NOT NULL,
    target_weight numeric(9, 8) NOT NULL CHECK (target_weight >= 0 AND target_weight <= 1),
    run_id        text NOT NULL,
    PRIMARY KEY (backtest_id, as_of_date, ticker)
);
