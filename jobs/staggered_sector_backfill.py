"""Backfill daily prices of the eleven sector funds, one at a time and minutes apart."""

import sys

from spark_app.cli.entrypoint import run_staggered_backfill

if __name__ == "__main__":
    sys.exit(run_staggered_backfill("staggered_sector_backfill", __doc__))
