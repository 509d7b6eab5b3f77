CREATE TABLE logs_pipeline_run (
    run_id          text NOT NULL,
    stage           text NOT NULL,
    as_of_date      date NOT NULL,
    status          text NOT NULL CHECK (
        status IN ('running', 'ok', 'nothing_to_do', 'incomplete', 'rate_limited', 'interrupted', 'failed')
    ),
    parameters      jsonb NOT NULL,
    started_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    requests        integer NOT NULL DEFAULT 0,
    tickers_asked   integer NOT NULL DEFAULT 0,
    tickers_ok      integer NOT NULL DEFAULT 0,
    rows_inserted   bigint NOT NULL DEFAULT 0,
    rows_updated    bigint NOT NULL DEFAULT 0,
    rows_unchanged  bigint NOT NULL DEFAULT 0,
    rows_removed    bigint NOT NULL DEFAULT 0,
    rows_rejected   bigint NOT NULL DEFAULT 0,
    delta_versions  jsonb NOT NULL DEFAULT '{}',
    exit_code       integer,
    message         text,
    PRIMARY KEY (run_id, stage)
);

CREATE INDEX logs_pipeline_run_by_stage ON logs_pipeline_run (stage, as_of_date, started_at);

CREATE TABLE logs_consumer_error (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    raw_value   text,
    error_msg   text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    stage       text,
    run_id      text
);

-- Synthetic and real data never share a database: the first rows that are stored decide.
CREATE TABLE logs_data_origin (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    origin   text NOT NULL CHECK (origin IN ('real', 'synthetic'))
);

-- Where runs load their rows before one transaction merges them.
CREATE SCHEMA loading;

-- What changes from one date that has a portfolio to the next; one without any position is a portfolio, too.
CREATE VIEW analytics_portfolio_changes AS
WITH dates AS (
    SELECT as_of_date, lag(as_of_date) OVER (ORDER BY as_of_date) AS previous_date
    FROM (
        SELECT DISTINCT as_of_date FROM logs_pipeline_run
        WHERE stage = 'stage5_portfolio_allocation' AND status = 'ok'
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
