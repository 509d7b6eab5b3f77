"""Check what is served: rows, gaps, flags, weights, staging against Postgres, the last runs."""

import sys

from spark_app.cli.entry import start_job

if __name__ == "__main__":
    sys.exit(start_job("verify_data"))
