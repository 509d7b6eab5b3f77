"""Send every served row to the topic, where it is younger than the database or was lost."""

import sys

from spark_app.cli.entry import start_job

if __name__ == "__main__":
    sys.exit(start_job("fill_topic"))
