"""Backfill daily prices of SPY and the eleven sector funds."""

import sys

from spark_app.cli.entry import run_job

if __name__ == "__main__":
    sys.exit(run_job("backfill_etf_benchmarks"))
