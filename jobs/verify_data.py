"""Check what is served: rows, gaps, flags, weights, staging against Postgres, the last runs."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("verify_data"))
