"""Check what was collected and computed: rows, gaps, flags, weights, staging against Postgres, the last runs."""

import sys

from spark_app.cli.entrypoint import run_verify_data

if __name__ == "__main__":
    sys.exit(run_verify_data("verify_data", __doc__))
