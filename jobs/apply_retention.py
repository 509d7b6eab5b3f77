"""Remove what is older than the settings keep it, from Postgres and staging, and reclaim the space."""

import sys

from spark_app.cli.entry import start_job

if __name__ == "__main__":
    sys.exit(start_job("apply_retention"))
