"""Remove what is older than the settings keep it, from Postgres and staging, and reclaim the space."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("apply_retention"))
