"""Make the morning page of a session: one HTML file from the served tables, without Spark."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("report"))
