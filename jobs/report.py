"""Make the morning page of a session: one HTML file from the served tables, without Spark."""

import sys

from spark_app.cli.entry import start_job

if __name__ == "__main__":
    sys.exit(start_job("report"))
