"""Send every served row to the topic, where it is younger than the database or was lost."""

import sys

from spark_app.cli.entry import run_job

if __name__ == "__main__":
    sys.exit(run_job("fill_topic"))
