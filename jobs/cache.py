"""Show the cached fetches, or drop some of them from the cache."""

import sys

from spark_app.cli.entry import start_job

if __name__ == "__main__":
    sys.exit(start_job("cache"))
