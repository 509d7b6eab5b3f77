"""Rebuild served tables from staging, for one session or a range; nothing is fetched."""

import sys

from spark_app.cli.entry import start_job

if __name__ == "__main__":
    sys.exit(start_job("republish"))
