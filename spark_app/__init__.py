"""A daily sector-rotation pipeline on Apache Spark: five batch stages from prices to a portfolio.

The packages in reading order; each names in its docstring the file to read first:

stages        the five stages, one file each
ingestion     fetching charts, holdings and quotes: due, landed, staged, complete, gate
transforms    the rules: pure functions on DataFrames
sources       market data from outside: Yahoo, the issuer, a synthetic market
pipeline      what a run is, and executing a stage
storage       Delta (staging), Postgres (served tables, locks, throttle, run log), Kafka (messages)
operations    the jobs that are not stages: backfills, republish, replay, retention, verify, cache
backtest      what following the rotation would have paid
results       what people look at: show, status, explain, the morning page
cli           the jobs' command lines
spark         the Spark session
config        settings, secrets, paths

Facts for all of them are at the root: `schemas` (every table), `universe` (the funds), `market_calendar`, `errors`.
"""

__version__ = "0.4.0"
