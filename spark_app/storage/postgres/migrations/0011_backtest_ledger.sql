-- Backtests of stocks: which positions stand on facts dated later, and what could not be judged.
ALTER TABLE analytics_backtest_position ADD COLUMN is_look_ahead boolean NOT NULL DEFAULT false;

CREATE TABLE analytics_backtest_ledger (
    backtest_id text NOT NULL REFERENCES analytics_backtest_run ON DELETE CASCADE,
    entry       text NOT NULL,
    counted     bigint NOT NULL CHECK (counted >= 0),
    total       bigint NOT NULL CHECK (total >= counted),
    share_pct   numeric(14, 6) NOT NULL CHECK (share_pct BETWEEN 0 AND 100),
    weight_pct  numeric(14, 6) CHECK (weight_pct BETWEEN 0 AND 100),
    tickers     integer CHECK (tickers >= 0),
    run_id      text NOT NULL,
    PRIMARY KEY (backtest_id, entry)
);
