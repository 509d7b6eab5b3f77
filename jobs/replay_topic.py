"""Read the topic and upsert its rows into a database that is empty or lacks some of them."""

import sys

from spark_app.cli.main import main

if __name__ == "__main__":
    sys.exit(main("replay_topic"))
