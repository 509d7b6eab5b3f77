"""Read the topic and upsert its rows into a database that is empty or lacks some of them."""

import sys

from spark_app.cli.entry import run_job

if __name__ == "__main__":
    sys.exit(run_job("replay_topic"))
