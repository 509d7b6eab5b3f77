"""Backfill daily prices of the eleven sector funds, one at a time and minutes apart."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("staggered_sector_backfill"))
