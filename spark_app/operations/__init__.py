"""The jobs that are no stage of the pipeline: backfills, the cache, rebuilding, the topic, verification, retention.

Declared here are those that have a lock and a row in the run log as a stage has; `days` is among the parameters of
their rows whether they have the option or not. Begin with `backfill_etf_benchmarks.py`.
"""

from spark_app.pipeline.stage import Stage

BACKFILL = Stage(
    "backfill_etf_benchmarks",
    "Backfill daily prices of SPY and the eleven sector funds.",
    "spark_app.operations.backfill_etf_benchmarks",
    parameters=("days",),
    fetches=True,
)
STAGGERED_BACKFILL = Stage(
    "staggered_sector_backfill",
    "Backfill daily prices of the eleven sector funds, one at a time and minutes apart.",
    "spark_app.operations.staggered_sector_backfill",
    parameters=("days",),
    fetches=True,
)
IMPORT_FILES = Stage(
    "import_files",
    "Import bars, splits, dividends, holdings, quotes and index membership from your own CSV or Parquet files.",
    "spark_app.operations.import_files",
    parameters=("files",),
    fetches=True,
)
REPUBLISH = Stage(
    "republish",
    "Rebuild served tables from staging, for one session or a range; nothing is fetched.",
    "spark_app.operations.republish",
    parameters=("days",),
)
REPLAY = Stage(
    "replay_topic",
    "Read the topic and upsert its rows into a database that is empty or lacks some of them.",
    "spark_app.operations.replay_topic",
    parameters=("days",),
    works_alone=True,
    takes_any_origin=True,
)
FILL_TOPIC = Stage(
    "fill_topic",
    "Send every served row to the topic, where it is younger than the database or was lost.",
    "spark_app.operations.fill_topic",
    parameters=("days",),
)
