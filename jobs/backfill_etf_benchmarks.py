"""Backfill daily prices of SPY and the eleven sector funds."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("backfill_etf_benchmarks"))
