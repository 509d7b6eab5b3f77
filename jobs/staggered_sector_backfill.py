"""Backfill daily prices of the eleven sector funds, one at a time and minutes apart."""

import sys

from spark_app.cli.entry import start_job

if __name__ == "__main__":
    sys.exit(start_job("staggered_sector_backfill"))
