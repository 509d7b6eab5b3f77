"""All five stages of a session in one Spark application, up to the first that fails."""

import sys

from spark_app.cli.entry import start_job

if __name__ == "__main__":
    sys.exit(start_job("daily_pipeline"))
