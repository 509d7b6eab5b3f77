"""Remove what is older than the settings want it kept, from Postgres and staging, and reclaim the space."""

import sys

from spark_app.cli.entrypoint import run_retention

if __name__ == "__main__":
    sys.exit(run_retention("apply_retention", __doc__))
