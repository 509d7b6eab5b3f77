"""Read the topic and upsert its rows into a database that is empty or lacks some of them."""

import sys

from spark_app.cli.entry import start_job

if __name__ == "__main__":
    sys.exit(start_job("replay_topic"))
