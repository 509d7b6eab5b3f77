"""Show what was fetched in the last day and need not be asked for again, or forget it."""

import sys

from spark_app.cli.entrypoint import run_cache

if __name__ == "__main__":
    sys.exit(run_cache("cache", __doc__))
