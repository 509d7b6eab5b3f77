-- Where results come from. Constant defaults and null columns: no table is rewritten.
ALTER TABLE logs_pipeline_run
    ADD COLUMN code_version text,
    ADD COLUMN host text,
    ADD COLUMN settings jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN inputs jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN look_ahead_memberships integer,
    ADD COLUMN look_ahead_quotes integer,
    ADD COLUMN restated_bars integer,
    ADD COLUMN outliers integer;

ALTER TABLE analytics_portfolio_allocation
    ADD COLUMN holdings_date date,
    ADD COLUMN quote_date date,
    ADD COLUMN is_look_ahead boolean NOT NULL DEFAULT false;
-- Of earlier rows only this is known; republish computes the rest.
UPDATE analytics_portfolio_allocation SET is_look_ahead = true WHERE market_cap_basis = 'later_quote';

ALTER TABLE analytics_portfolio_exclusion
    ADD COLUMN holdings_date date,
    ADD COLUMN is_look_ahead boolean NOT NULL DEFAULT false;

-- Not of a fixed precision: a ratio that does not fit must not fail a run.
CREATE TABLE logs_price_restatement (
    ticker           text NOT NULL,
    run_id           text NOT NULL,
    stage            text NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('split', 'dividend', 'correction')),
    ratio            numeric,
    rows_restated    integer NOT NULL,
    first_trade_date date NOT NULL,
    last_trade_date  date NOT NULL,
    noticed_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (ticker, run_id)
);

CREATE TABLE logs_fetch (
    ticker       text NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('chart', 'holdings', 'quote')),
    fetched_at   timestamptz NOT NULL,
    run_id       text NOT NULL,
    source       text,
    outcome      text NOT NULL,
    message      text,
    requests     integer NOT NULL DEFAULT 0,
    rows_fetched integer NOT NULL DEFAULT 0,
    first_date   date,
    last_date    date,
    PRIMARY KEY (ticker, kind, fetched_at, run_id)
);
