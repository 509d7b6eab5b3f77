#!/usr/bin/env bash
# Renew docs/report.png, the picture in README.md: the page of a session of the synthetic market, after `make demo`.
set -euo pipefail
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/require_browser.sh
export SPARK_APP_HOME="${SPARK_APP_HOME:-var/demo}"
page="$(mktemp --suffix=.html)"
trap 'rm -f "$page"' EXIT
./spark_jobs_launcher.sh report ${AS_OF:+--as-of "$AS_OF"} --out "$page" --png docs/report.png
size="$(wc -c <docs/report.png)"
[ "$size" -le 300000 ] || { echo "docs/report.png has $size bytes: at most 300000" >&2 && exit 1; }
