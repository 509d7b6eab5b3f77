"""Show the cached fetches, or drop some of them from the cache."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("cache"))
