"""Show what was fetched within the last day and need not be asked for again, or let it be forgotten."""

import sys

from spark_app.entrypoint import run_cache

if __name__ == "__main__":
    sys.exit(run_cache("cache", __doc__))
