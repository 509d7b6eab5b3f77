"""Rebuild served tables from staging, for one session or a range; nothing is fetched."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("republish"))
