-- When all fetches of a stage's run had reached bars, holdings and quotes. Where it is null, a later run does that.
ALTER TABLE logs_pipeline_run ADD COLUMN staged_at timestamptz;
UPDATE logs_pipeline_run SET staged_at = finished_at WHERE status = 'ok';
