"""Backfill daily prices of SPY and the eleven sector funds."""

import sys

from spark_app.cli.entrypoint import run_backfill

if __name__ == "__main__":
    sys.exit(run_backfill("backfill_etf_benchmarks", __doc__))
