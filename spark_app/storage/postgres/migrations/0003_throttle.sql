-- The one throttle of all workers and jobs, a row per source; 'epoch' stands for never.
-- Each request writes its row anew: the free space keeps the versions of it on one page.
CREATE TABLE logs_fetch_throttle (
    source         text PRIMARY KEY,
    last_sent_at   timestamptz NOT NULL DEFAULT 'epoch',
    blocked_until  timestamptz NOT NULL DEFAULT 'epoch',
    blocked_reason text,
    counted_date   date NOT NULL DEFAULT 'epoch',
    requests       integer NOT NULL DEFAULT 0 CHECK (requests >= 0)
) WITH (fillfactor = 10);

COMMENT ON COLUMN logs_fetch_throttle.requests IS 'HTTP requests of counted_date, a day in UTC';

-- The runs that are to stop: their workers send nothing more.
CREATE TABLE logs_fetch_stop (
    run_id       text PRIMARY KEY,
    requested_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO logs_fetch_throttle (source) VALUES ('yahoo');
