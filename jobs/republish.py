"""Rebuild served tables from staging, for one session or a range; nothing is fetched."""

import sys

from spark_app.cli.entrypoint import run_republish

if __name__ == "__main__":
    sys.exit(run_republish("republish", __doc__))
