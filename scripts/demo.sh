#!/usr/bin/env bash
# A year of the synthetic market in var/demo: prices and holdings, the results of every session, and the page of the last
# one. AS_OF=DATE for another last session. Needs no network.
set -euo pipefail
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export SPARK_APP_HOME="${SPARK_APP_HOME:-var/demo}"
launcher=./spark_jobs_launcher.sh
python=.venv/bin/python
results=analytics_trending_sectors,analytics_portfolio_allocation,analytics_portfolio_exclusion

# The last session, and the one a year before; nothing where the date is no session.
read -r as_of first < <("$python" scripts/demo_sessions.py ${AS_OF:+"$AS_OF"}) || exit 2

# Each result needs 20 sessions before it.
"$launcher" daily_pipeline --source synthetic --force --as-of "$as_of" --days 273 --universe all
"$launcher" republish --source synthetic --from "$first" --as-of "$as_of" --tables "$results"
"$launcher" show --as-of "$as_of"
"$launcher" report --as-of "$as_of" --open
cat <<TEXT

Look further; with SPARK_APP_HOME the commands of README.md use the demo:
  export SPARK_APP_HOME=$SPARK_APP_HOME
  $launcher status                       # is all fresh
  $launcher explain XLK                  # why a sector trends or not; also takes a stock
  $launcher report --as-of $first    # the page of another session
  $launcher psql -c "SELECT * FROM analytics_portfolio_turnover ORDER BY as_of_date"

With real prices, in var:
  unset SPARK_APP_HOME
  $launcher daily_pipeline
TEXT
